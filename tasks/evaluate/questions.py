"""Held-out rows as questions: the rendered prompt, and the reference that answers it."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contract.errors import InputError
from tasks.contract.rows import messages
from tasks.template.renderer import Renderer

ROOM = 8
"""Tokens an answer may be longer than the longest reference, the end token included."""


@dataclass(frozen=True)
class Question:
    """One held-out row as it is put to a model."""

    id: str
    slice: str | None
    prompt: str
    """Text after which the answer follows."""
    reference: str
    """The right answer: the content of the last assistant turn."""
    tokens: int
    """Length of the prompt."""
    shots: int
    """Rows of the training split that stand before it."""


def rows(file: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Rows of a canonical Parquet file that are dialogues ending with an assistant's turn.

    Raises `InputError` where there is none, or where a row has another form.
    """
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = pq.read_table(file).slice(0, limit).to_pylist()
    if not found:
        raise InputError(
            f"{file}: no rows, so there is nothing to evaluate on; bring data with a test split, or raise the share of "
            "test rows in the section clean of params.yaml."
        )
    for row in found:
        row["messages"] = messages(row)
        if row["messages"][-1]["role"] != "assistant":
            raise InputError(f"{file}: the row {row['id']} does not end with a turn of the assistant to compare with.")
    return found


def shots(train: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The `count` rows with the smallest ids: ids are hashes of the content, so this is a random choice that stays."""
    return sorted(train, key=lambda row: str(row["id"]))[:count]


def answer_room(asked: list[dict[str, Any]], tokenizer: Any, context: int) -> int:
    """Tokens that an answer may have, derived from the longest reference and the model's context."""
    longest = max(len(ids(tokenizer, row["messages"][-1]["content"])) for row in asked)
    return min(longest + ROOM, context // 2)


def ask(
    row: dict[str, Any], earlier: list[dict[str, Any]], renderer: Renderer, tokenizer: Any, room: int
) -> Question | None:
    """`row` as a question of at most `room` tokens, after as many of the rows `earlier` as fit.

    Returns None where the question alone is longer than that. A system message of the row stays in front.
    """
    *turns, reference = row["messages"]
    system = turns[:1] if turns and turns[0]["role"] == "system" else []
    for kept in range(len(earlier), -1, -1):
        before = [turn for shot in earlier[:kept] for turn in shot["messages"] if turn["role"] != "system"]
        said = [*system, *before, *turns[len(system) :]]
        text = renderer.render(said, json.loads(row["tools"]) if row.get("tools") else None, generation_prompt=True)
        length = len(ids(tokenizer, text))
        if length <= room:
            return Question(row["id"], row["slice"], text, reference["content"], length, kept)
    return None


def ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text; the template has written the control tokens, so none is added."""
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def shots_used(questions: list[Question]) -> dict[str, int]:
    """How many questions had how many rows before them."""
    return {str(kept): count for kept, count in sorted(Counter(question.shots for question in questions).items())}
