"""What can be wrong with a row under a tokenizer: a slug each, how bad it is, what it means, where it was seen."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One thing that ruins, or may ruin, what a model learns from a row."""

    severity: Literal["error", "warning"]
    """An error makes the row leave, and the run stop beyond template.max_loss; a warning is counted and shown."""
    meaning: str
    threads: str
    """Where people met it: threads on GitHub."""
    stays: bool = False
    """Whether rows with this error are trained all the same: none leaves for it, as it is one of several together."""


CHECKS = {
    "unrenderable": Check("error", "the chat template refuses the dialogue or breaks on it", "unslothai/unsloth#334"),
    "coverage": Check(
        "error",
        "a text of the row does not stand in the render: the template drops or changes it",
        "modelscope/ms-swift#4939; EleutherAI/lm-evaluation-harness#2475; ggml-org/llama.cpp#27129",
    ),
    "indentation": Check(
        "error",
        "an answer begins with space, such as the indentation of code, and the template trims it",
        "dcdpr/jp#1174",
    ),
    "scaffold": Check(
        "error",
        "the control tokens of the row are not those that the template writes",
        "huggingface/transformers#29279; unslothai/unsloth#10312",
    ),
    "rendered": Check(
        "error",
        "a raw text holds control tokens: it seems to be rendered already; give the dialogue itself",
        "huggingface/trl#4481; vllm-project/vllm#27517",
    ),
    "supervision": Check(
        "error",
        "the trained tokens are not the turns of the assistant: none at all, too few, or others",
        "huggingface/transformers#34172; axolotl-ai-cloud/axolotl#2089; huggingface/trl#4201",
    ),
    "prefix": Check(
        "error",
        "the prompt after which the model will answer is not what stands before the answer in training",
        "huggingface/trl#5213; huggingface/trl#5317; pytorch/torchtitan#4504",
    ),
    "generation_prompt": Check(
        "error",
        "the template has no generation prompt: a model must write the head of its turn, which no server expects",
        "unslothai/unsloth#1312; huggingface/transformers#26539",
    ),
    "stop": Check(
        "error",
        "a trained turn does not end in the token at which generation stops",
        "axolotl-ai-cloud/axolotl#3754; axolotl-ai-cloud/axolotl#2710",
    ),
    "untrained": Check(
        "error", "the row's weight is 0, or that of each of its answers", "axolotl-ai-cloud/axolotl#1703"
    ),
    "weight": Check("error", "a weight other than 0 and 1, which no trainer here honours", "huggingface/trl#5761"),
    "unknown": Check(
        "error",
        "the tokenizer cannot represent all of the text: it becomes unknown, or vanishes",
        "NVIDIA-NeMo/Speech#6651",
    ),
    "vocabulary": Check(
        "error",
        "a token has no row in the base's embeddings",
        "ggml-org/llama.cpp#6111; h2oai/h2o-llmstudio#297",
    ),
    "too_long": Check(
        "error",
        "the row has more tokens than max_length: trainers would cut its end, the stop token with it",
        "hiyouga/LlamaFactory#2870; huggingface/trl#4698; huggingface/trl#3927",
    ),
    "equal_pair": Check(
        "error",
        "chosen and rejected are the same tokens, perhaps only after they were cut",
        "OpenRLHF/OpenRLHF#1311; camel-ai/owl#592",
    ),
    "alike_pair": Check("warning", "chosen and rejected differ in space or capital letters only", "camel-ai/owl#592"),
    "prompt_differs": Check("error", "chosen and rejected do not share the rendered prompt", "huggingface/trl#5213"),
    "contradiction": Check(
        "error",
        "an answer to a prompt is preferred to another and the other to it, or good and bad",
        "own observation",
        stays=True,
    ),
    "circle": Check(
        "error",
        "answers to a prompt are preferred in a circle, such as A to B, B to C and C to A: no order of them is right",
        "tournesol-app/tournesol#671",
        stays=True,
    ),
    "one_label": Check(
        "error",
        "every judged answer has the same label: there is nothing to tell it from",
        "huggingface/trl#1724",
        stays=True,
    ),
    "flipped": Check(
        "warning",
        "the chosen answer is empty, a few letters or a refusal, the rejected one is none of these",
        "huggingface/trl#2578",
    ),
    "length_bias": Check(
        "warning",
        "in more than 65 % of the pairs the chosen answer is the longer one: length is what will be learned",
        "princeton-nlp/SimPO#20; huggingface/trl#789",
    ),
    "quoted": Check(
        "warning",
        "a text of the row quotes control tokens; they were encoded as plain text, other trainers take them for real",
        "huggingface/transformers#29279; aisa-group/PostTrainBench#64",
    ),
    "think": Check("error", "<think> and </think> of an answer do not stand in pairs", "huggingface/trl#6361"),
    "history": Check(
        "warning",
        "the template leaves out a part of an earlier, untrained turn, as it will when the model is used",
        "modelscope/ms-swift#4939; unslothai/unsloth#3383",
    ),
    "unread_key": Check(
        "warning",
        "a key of a turn has no effect: the chat template does not write it, or nothing here trains the turn",
        "axolotl-ai-cloud/axolotl#1703",
    ),
    "trimmed": Check("warning", "the template trims space at the edges of a text", "chujiezheng/chat_templates#14"),
}
"""Checks by slug, in the order in which they are shown."""

ERRORS = tuple(slug for slug, check in CHECKS.items() if check.severity == "error")
"""Reasons for which rows leave; the first that applies counts."""

REQUESTED = frozenset({"untrained"})
"""Reasons for leaving that the data asked for: no losses."""
