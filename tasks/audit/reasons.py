"""What else can be wrong with data than what `tasks.template.checks` knows: rows that are none, and columns unread.

python -m tasks.audit.reasons        prints every check as the table in docs/audit.md
"""

import re

from tasks.clean.unread import FATAL, Unread
from tasks.template.checks import CHECKS, Check

REASONS = {
    "unreadable": Check(
        "error",
        "a record cannot be parsed: broken JSON, the wrong encoding, or a ragged line",
        "huggingface/datasets#6460; ml-explore/mlx-examples#458",
    ),
    "unknown_shape": Check("error", "a record matches none of the known data formats", "huggingface/trl#2385"),
    "role_order": Check(
        "error", "roles do not alternate, or the dialogue starts with the assistant", "unslothai/unsloth#334"
    ),
    "no_answer": Check("error", "a dialogue does not end with an answer", "hiyouga/LlamaFactory#9600"),
    "empty_turn": Check("error", "a message or text is empty", "huggingface/trl#2578"),
    "bad_unicode": Check(
        "error", "the text has unpaired surrogates, which are not valid Unicode", "huggingface/transformers#8886"
    ),
    "call_without_result": Check("error", "a tool call has no result", "OpenHands/software-agent-sdk#2127"),
    "result_without_call": Check(
        "error",
        "a tool result answers no call, answers a different call, or comes twice",
        "itmisx/deepx-code#94; mistralai/mistral-common#322",
    ),
    "bad_tool_call": Check(
        "error",
        "a tool call has no name, its arguments are not a JSON object, or the row does not define the tool",
        "sgl-project/sglang#28035",
    ),
    "no_rows": Check("error", "no rows are left to train on", "hiyouga/LlamaFactory#9600; hiyouga/LlamaFactory#9493"),
    "objective": Check(
        "error", "the row does not have the fields that the objective trains on", "huggingface/trl#3927"
    ),
    "unread_column": Check(
        "error",
        "a column that looks like an answer or a loss mask is not used: map it, or ignore it explicitly",
        "huggingface/trl#2385; huggingface/trl#5761",
    ),
    "bad_switch": Check(
        "error",
        "a message's loss mask is neither on nor off, or two of them contradict each other",
        "axolotl-ai-cloud/axolotl#1703",
    ),
    "modality": Check(
        "error", "the row has an image, audio, a video or a file, which text models cannot read", "own observation"
    ),
    "several_texts": Check(
        "error", "a field has a list of texts where one text is expected: choose one", "own observation"
    ),
    "unused_column": Check(
        "warning",
        "a column that looks like part of the prompt is not used in rows of this format",
        "huggingface/trl#2385",
    ),
    "null_keys": Check(
        "warning",
        "tool calls or definitions have null values: Arrow may have added them when it merged rows",
        "huggingface/datasets#7617",
    ),
    "mended_calls": Check(
        "warning",
        "tool results were reordered to match their calls, or arguments that were not valid JSON were repaired",
        "modelscope/ms-swift#10174; sgl-project/sglang#28035",
    ),
    "new_tokens": Check(
        "warning", "the chat template writes special tokens that the tokenizer does not have", "huggingface/peft#334"
    ),
    "trailing_prompt": Check(
        "warning",
        "the chat template adds a generation prompt to finished dialogues: rows end with an empty answer",
        "unslothai/unsloth#1312",
    ),
    "mistral_regex": Check(
        "warning",
        "this Mistral tokenizer splits words with a wrong regex: load it with fix_mistral_regex=True",
        "transformers' own warning",
    ),
    "no_template": Check(
        "error",
        "the tokenizer has no chat template: choose the one to train with",
        "huggingface/transformers#34172",
    ),
    "no_pad": Check(
        "warning",
        "the tokenizer has no pad token: collators that pad with the end token also mask it in the loss",
        "huggingface/transformers#23530; huggingface/trl#976",
    ),
    "no_bos": Check(
        "warning",
        "the chat template leaves out the BOS token, which the tokenizer adds to plain text",
        "huggingface/transformers#27634",
    ),
    "end_token": Check(
        "warning",
        "turns do not end with the tokenizer's EOS token: name theirs in generation_config, or answers run on",
        "axolotl-ai-cloud/axolotl#3754",
    ),
    "no_system": Check(
        "warning", "the chat template does not accept system prompts", "EleutherAI/lm-evaluation-harness#2475"
    ),
    "own_system": Check(
        "warning",
        "the chat template adds a default system prompt to dialogues without one: use the same one at inference",
        "QwenLM/Qwen3#1141; InternLM/lmdeploy#3422",
    ),
    "dated": Check(
        "warning",
        "the chat template writes today's date: the same data become different tokens tomorrow",
        "sgl-project/sglang#3296",
    ),
}
"""Checks of the audit beside those of the stage."""

ALL = {**REASONS, **CHECKS}
"""Every check by slug."""

STRICT = frozenset({"quoted"})
"""Warnings of the stage, where temper makes them right, that are errors of the data for every other trainer."""

LEFT_BY_CLEAN = frozenset(
    {
        "unreadable",
        "unknown_shape",
        "role_order",
        "no_answer",
        "empty_turn",
        "bad_unicode",
        "call_without_result",
        "result_without_call",
        "bad_tool_call",
        "bad_switch",
        "modality",
        "several_texts",
    }
)
"""Checks whose rows `clean` leaves out by itself, as far as `clean.max_loss` allows."""

SHAPELESS = frozenset(
    {
        "missing_column",
        "unknown_role",
        "not_text",
        "no_prompt",
        "bad_label",
        "ambiguous_shape",
        "unnamed_class",
        "bad_classes",
        "unranked",
    }
)
"""Reasons of the stage `clean` that say: the row is not of a form that can be read."""


def slug_of(reason: str) -> str:
    """The check that a reason of the stage `clean` belongs to."""
    if reason in ALL:
        return reason
    if reason in {"bad_tools", "bad_arguments", "unknown_tool"}:
        return "bad_tool_call"
    if reason == "duplicate_result":
        return "result_without_call"
    if reason.startswith("has_"):
        return "modality"
    return "unknown_shape" if reason in SHAPELESS else "unreadable"


def slug_of_unread(unread: Unread) -> str:
    """The check that a column which is not read belongs to."""
    return "unread_column" if unread.kind in FATAL else "unused_column"


def table() -> str:
    """Every check with what it means and where people met it, in Markdown, as docs/audit.md has it."""
    lines = ["| check | severity | what it means | seen in |", "|---|---|---|---|"]
    for slug, check in ALL.items():
        severity = "warning, here an error" if slug in STRICT else check.severity
        meaning = re.sub(r"(</?\w+>)", r"`\1`", check.meaning)
        lines.append(f"| `{slug}` | {severity} | {meaning} | {', '.join(_links(check.threads))} |")
    return "\n".join(lines)


def _links(threads: str) -> list[str]:
    """Threads as links; where there is none it says so."""
    links = []
    for thread in threads.split("; "):
        repository, _, number = thread.partition("#")
        link = f"[{repository.partition('/')[2]}#{number}](https://github.com/{repository}/issues/{number})"
        links.append(link if number else thread)
    return links


if __name__ == "__main__":
    print(table())
