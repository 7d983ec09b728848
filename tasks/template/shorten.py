"""Rows that are longer than allowed, brought to the length as `template.over_length` says."""

from typing import Any, Protocol

from tasks.rows.canonical import Message
from tasks.template.lengths import in_parts, windows, without_end, without_oldest
from tasks.template.outcome import Outcome, Plan
from tasks.template.sequence import Sequence
from tasks.template.settings import Settings


class Tokenizes(Protocol):
    """What makes dialogues anew, shorter: a `Templater`."""

    settings: Settings
    limit: int

    def tokens(
        self, messages: list[Message], tools: list[Any] | None = None, completion: int | None = None
    ) -> Sequence: ...


def truncate_prompt(rows: Tokenizes, outcome: Outcome, plan: Plan) -> list[Sequence] | None:
    """Without the oldest turns; for two answers as many as the longer one needs."""
    if plan.text is not None:
        return None
    outcome.cut = "oldest_turns"
    if plan.kind == "sequence":
        if rows.settings.turns == "apart":
            return _apart(rows, plan)
        shorter = without_oldest(plan.messages, lambda messages: rows.tokens(messages, plan.tools), rows.limit)
        return [shorter[1]] if shorter else None
    longest = max(plan.answers, key=lambda answer: len(_answered(rows, plan.prompt, answer, plan.tools)))
    size = len(longest)
    shorter = without_oldest(
        [*plan.prompt, *longest],
        lambda messages: _answered(rows, messages[:-size], messages[-size:], plan.tools),
        rows.limit,
    )
    return [_answered(rows, shorter[0][:-size], answer, plan.tools) for answer in plan.answers] if shorter else None


def _apart(rows: Tokenizes, plan: Plan) -> list[Sequence] | None:
    sequences = []
    for number, message in enumerate(plan.messages):
        if message["role"] != "assistant" or message.get("weight") == 0:
            continue
        messages = plan.messages[: number + 1]
        whole = rows.tokens(messages, plan.tools, number)
        if len(whole) > rows.limit:
            shorter = without_oldest(messages, lambda kept: rows.tokens(kept, plan.tools, len(kept) - 1), rows.limit)
            if shorter is None:
                return None
            whole = shorter[1]
        sequences.append(whole)
    return sequences


def _answered(rows: Tokenizes, prompt: list[Message], answer: list[Message], tools: list[Any] | None) -> Sequence:
    whole = rows.tokens([*prompt, *answer], tools, len(prompt))
    return whole.cut(0, whole.runs[-1][1]) if whole.runs else whole


def truncate_answer(rows: Tokenizes, outcome: Outcome, plan: Plan) -> list[Sequence] | None:
    outcome.cut = "answer"
    parts = [without_end(part, rows.limit) for part in outcome.sequences]
    return None if None in parts else [part for part in parts if part]


def split(rows: Tokenizes, outcome: Outcome, plan: Plan) -> list[Sequence] | None:
    if plan.text is not None:
        outcome.cut = "windows"
        return windows(outcome.sequences[0], rows.limit)
    if plan.kind != "sequence" or rows.settings.turns == "apart":
        return None
    outcome.cut = "exchanges"
    return in_parts(plan.messages, lambda messages: rows.tokens(messages, plan.tools), rows.limit)


POLICIES = {"truncate_prompt": truncate_prompt, "truncate_answer": truncate_answer, "split": split}
"""By the name in the settings: the row's sequences, shorter, or None where that cannot be; notes in the outcome what
was cut. May raise `Unrenderable`."""
