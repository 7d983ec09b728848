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
    "unrenderable": Check("error", "the chat template rejects the dialogue, or fails on it", "unslothai/unsloth#334"),
    "coverage": Check(
        "error",
        "a text of the row is missing from the rendered prompt: the chat template drops or changes it",
        "modelscope/ms-swift#4939; EleutherAI/lm-evaluation-harness#2475; ggml-org/llama.cpp#27129",
    ),
    "indentation": Check(
        "error",
        "an answer begins with whitespace, such as code indentation, and the chat template strips it",
        "dcdpr/jp#1174",
    ),
    "scaffold": Check(
        "error",
        "the special tokens in the encoded row are not the ones that the chat template writes",
        "huggingface/transformers#29279; unslothai/unsloth#10312",
    ),
    "rendered": Check(
        "error",
        "the text contains special tokens, so it seems to be rendered already: use the dialogue itself",
        "huggingface/trl#4481; vllm-project/vllm#27517",
    ),
    "supervision": Check(
        "error",
        "the tokens with a loss are not the assistant's answers: there are none, too few, or the wrong ones",
        "huggingface/transformers#34172; axolotl-ai-cloud/axolotl#2089; huggingface/trl#4201",
    ),
    "prefix": Check(
        "error",
        "the prompt at inference differs from the tokens that precede the answer in training",
        "huggingface/trl#5213; huggingface/trl#5317; pytorch/torchtitan#4504",
    ),
    "generation_prompt": Check(
        "error",
        "the chat template has no generation prompt: the model would have to write the header of its own turn",
        "unslothai/unsloth#1312; huggingface/transformers#26539",
    ),
    "stop": Check(
        "error",
        "an answer does not end with the token that stops generation",
        "axolotl-ai-cloud/axolotl#3754; axolotl-ai-cloud/axolotl#2710",
    ),
    "untrained": Check(
        "error", "the weight of the row, or of each of its answers, is 0", "axolotl-ai-cloud/axolotl#1703"
    ),
    "weight": Check(
        "error", "the weight is neither 0 nor 1, which the trainers here do not support", "huggingface/trl#5761"
    ),
    "unknown": Check(
        "error",
        "the tokenizer cannot represent all of the text: a part becomes the unknown token, or disappears",
        "NVIDIA-NeMo/Speech#6651",
    ),
    "vocabulary": Check(
        "error",
        "a token id is outside the embeddings of the base model",
        "ggml-org/llama.cpp#6111; h2oai/h2o-llmstudio#297",
    ),
    "too_long": Check(
        "error",
        "the row has more tokens than max_length: trainers would truncate its end, including the stop token",
        "hiyouga/LlamaFactory#2870; huggingface/trl#4698; huggingface/trl#3927",
    ),
    "equal_pair": Check(
        "error",
        "chosen and rejected are the same tokens, possibly only after truncation",
        "OpenRLHF/OpenRLHF#1311; camel-ai/owl#592",
    ),
    "alike_pair": Check(
        "warning", "chosen and rejected differ only in whitespace or capital letters", "camel-ai/owl#592"
    ),
    "prompt_differs": Check("error", "chosen and rejected have different rendered prompts", "huggingface/trl#5213"),
    "contradiction": Check(
        "error",
        "two rows contradict each other: one prefers what the other rejects, or calls good what it calls bad",
        "own observation",
        stays=True,
    ),
    "circle": Check(
        "error",
        "preferences for a prompt form a cycle, such as A over B, B over C and C over A, so no ranking satisfies them",
        "tournesol-app/tournesol#671",
        stays=True,
    ),
    "one_label": Check(
        "error",
        "all answers have the same label, so there is nothing to learn from",
        "huggingface/trl#1724",
        stays=True,
    ),
    "flipped": Check(
        "warning",
        "the chosen answer is empty, very short or a refusal, and the rejected one is not: they may be swapped",
        "huggingface/trl#2578",
    ),
    "length_bias": Check(
        "warning",
        "the chosen answer is the longer one in more than 65 % of the pairs: the model may learn length",
        "princeton-nlp/SimPO#20; huggingface/trl#789",
    ),
    "quoted": Check(
        "warning",
        "a text quotes special tokens: temper encodes them as plain text, other trainers as special tokens",
        "huggingface/transformers#29279; aisa-group/PostTrainBench#64",
    ),
    "think": Check("error", "<think> and </think> are not balanced in an answer", "huggingface/trl#6361"),
    "history": Check(
        "warning",
        "the chat template leaves out part of an earlier turn that is not trained, and will do the same at inference",
        "modelscope/ms-swift#4939; unslothai/unsloth#3383",
    ),
    "unread_key": Check(
        "warning",
        "a key of a message has no effect: the chat template does not write it, or the message is not trained",
        "axolotl-ai-cloud/axolotl#1703",
    ),
    "trimmed": Check("warning", "the chat template strips whitespace around a text", "chujiezheng/chat_templates#14"),
}
"""Checks by slug, in the order in which they are shown."""

ERRORS = tuple(slug for slug, check in CHECKS.items() if check.severity == "error")
"""Reasons for which rows leave; the first that applies counts."""

REQUESTED = frozenset({"untrained"})
"""Reasons for leaving that the data asked for: no losses."""
