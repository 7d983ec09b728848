"""What else can be wrong with data than what `tasks.template.checks` knows: rows that are none, and columns unread.

python -m tasks.audit.reasons        prints every check as the table in docs/audit.md
"""

import re

from tasks.clean.columns import FATAL, Unread
from tasks.template.checks import CHECKS, Check

REASONS = {
    "unreadable": Check(
        "error",
        "a record cannot be read: broken JSON, a wrong encoding, a ragged line",
        "huggingface/datasets#6460; ml-explore/mlx-examples#458",
    ),
    "unknown_shape": Check("error", "a record has none of the known shapes", "huggingface/trl#2385"),
    "role_order": Check("error", "turns do not take turns, or the assistant speaks first", "unslothai/unsloth#334"),
    "no_answer": Check("error", "a dialogue does not end with an answer", "hiyouga/LlamaFactory#9600"),
    "empty_turn": Check("error", "a turn or text is empty", "huggingface/trl#2578"),
    "bad_unicode": Check("error", "halves of surrogate pairs, which no text can hold", "huggingface/transformers#8886"),
    "call_without_result": Check(
        "error", "a tool is called and no result follows", "OpenHands/software-agent-sdk#2127"
    ),
    "result_without_call": Check(
        "error",
        "a tool's result follows no call, names another one, or comes twice",
        "itmisx/deepx-code#94; mistralai/mistral-common#322",
    ),
    "bad_tool_call": Check(
        "error",
        "a call or a tool has no name, the arguments are no JSON object, or the tool is not among those of the row",
        "sgl-project/sglang#28035",
    ),
    "no_rows": Check("error", "nothing is left to train on", "hiyouga/LlamaFactory#9600; hiyouga/LlamaFactory#9493"),
    "objective": Check("error", "the row is not of the kind that the objective trains on", "huggingface/trl#3927"),
    "unread_column": Check(
        "error",
        "a column that looks like an answer, or a switch of the loss, is not read: map it or ignore it",
        "huggingface/trl#2385; huggingface/trl#5761",
    ),
    "bad_switch": Check(
        "error",
        "a turn's switch of the loss is neither on nor off, or two contradict each other",
        "axolotl-ai-cloud/axolotl#1703",
    ),
    "modality": Check(
        "error", "the row has a picture, a sound, a film or a file, which no text model reads", "own observation"
    ),
    "several_texts": Check(
        "error", "a list of texts stands where one is wanted; choose one of them", "own observation"
    ),
    "unused_column": Check(
        "warning",
        "a column that looks like a part of the prompt is not read in rows of this shape",
        "huggingface/trl#2385",
    ),
    "null_keys": Check(
        "warning",
        "calls or tools have keys that are null: keys that Arrow added when it joined rows, or meant so",
        "huggingface/datasets#7617",
    ),
    "mended_calls": Check(
        "warning",
        "results were put in the order of their calls, or arguments were read that are no JSON as they came",
        "modelscope/ms-swift#10174; sgl-project/sglang#28035",
    ),
    "new_tokens": Check(
        "warning", "the template writes control tokens that the tokenizer lacks", "huggingface/peft#334"
    ),
    "trailing_prompt": Check(
        "warning",
        "the template ends a finished dialogue with a generation prompt too, so that rows end in the head of no answer",
        "unslothai/unsloth#1312",
    ),
    "mistral_regex": Check(
        "warning",
        "the tokenizer is one of Mistral's that split words by a wrong regex: load it with fix_mistral_regex=True",
        "transformers' own warning",
    ),
    "no_template": Check("warning", "the tokenizer has no chat template", "huggingface/transformers#34172"),
    "no_pad": Check(
        "warning",
        "the tokenizer has no pad token: collators that mask it mask the end token too",
        "huggingface/transformers#23530; huggingface/trl#976",
    ),
    "no_bos": Check(
        "warning",
        "the template leaves out the token with which the tokenizer begins texts",
        "huggingface/transformers#27634",
    ),
    "end_token": Check(
        "warning",
        "turns end in another token than the tokenizer's end token: generation_config must name it, or answers run on",
        "axolotl-ai-cloud/axolotl#3754",
    ),
    "no_system": Check("warning", "the template refuses system prompts", "EleutherAI/lm-evaluation-harness#2475"),
    "own_system": Check(
        "warning",
        "the template gives a system prompt of its own to dialogues without one: use it with the same",
        "QwenLM/Qwen3#1141; InternLM/lmdeploy#3422",
    ),
    "dated": Check(
        "warning",
        "the template writes today's date: the same data are other tokens tomorrow",
        "sgl-project/sglang#3296",
    ),
}
"""Checks of the audit beside those of the stage."""

ALL = {**REASONS, **CHECKS}
"""Every check by slug."""

STRICT = frozenset({"quoted"})
"""Warnings of the stage, where temper makes them right, that are errors of the data for every other trainer."""

SHAPELESS = frozenset(
    {"unknown_role", "not_text", "no_prompt", "bad_label", "ambiguous_shape", "unnamed_class", "unranked"}
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
