"""What episodes begin with: rows up to the last thing that the user says, as the model reads it with its tools."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.align.episodes.turns import Turns
from tasks.chat.renderer import Unrenderable
from tasks.core.errors import InputError
from tasks.core.numbers import counted, listed
from tasks.rows.canonical import Message, dialogue
from tasks.rows.draw import Drawable, draw


@dataclass(frozen=True)
class Opening:
    """The beginning of an episode."""

    id: str
    """Of the row."""
    messages: tuple[Message, ...]
    """Up to the last turn of the user."""
    ids: tuple[int, ...]
    """The same as the model reads it, up to where it answers."""
    reference: str
    """What the row has as the last turn of the assistant."""
    group: tuple[Any, ...]
    """Slice and source of the row."""

    @property
    def question(self) -> str:
        """The last turn of the user."""
        return str(self.messages[-1]["content"] or "")


class Openings:
    """Beginnings of episodes, each an item that trl's trainer takes."""

    column_names = ("prompt", "reference", "row")

    def __init__(self, openings: list[Opening], left_out: Counter[str]) -> None:
        """`left_out`: rows of which there is none, by why."""
        self.openings, self.left_out = openings, left_out

    def __len__(self) -> int:
        return len(self.openings)

    def __getitem__(self, index: int) -> dict[str, Any]:
        opening = self.openings[index]
        return {"prompt": list(opening.ids), "reference": opening.reference, "row": index}

    @property
    def longest(self) -> int:
        """The prompt with the most tokens."""
        return max(range(len(self)), key=lambda index: len(self.openings[index].ids))

    def counts(self) -> dict[str, int]:
        """Prompts, tokens in them, and rows that have none."""
        tokens = sum(len(opening.ids) for opening in self.openings)
        return {"rows": len(self), "prompt_tokens": tokens, "rows_without_prompt": sum(self.left_out.values())}

    def drawn(self, limit: int) -> "Openings":
        """At most `limit` of them, that stand for all."""
        if not limit:
            return Openings([], self.left_out)
        drawable = [Drawable(one.id, one.reference, one.group) for one in self.openings]
        return Openings([self.openings[index] for index in draw(drawable, limit)[0]], self.left_out)


def read(file: Path, source: str, turns: Turns, room: int | None) -> Openings:
    """The beginnings of episodes of canonical rows.

    `source`: rows or pairs, as `Settings.prompts`. `room`: tokens that a prompt may have; None for any number. Rows
    without a turn of the user, of another kind, too long, or that the chat template refuses are left out, and counted.
    """
    openings: list[Opening] = []
    left_out: Counter[str] = Counter()
    for row in (row for batch in pq.ParquetFile(file).iter_batches(1000) for row in batch.to_pylist()):
        messages = dialogue(row) if bool(row.get("chosen")) == (source == "pairs") else None
        last = max((at for at, turn in enumerate(messages or ()) if turn["role"] == "user"), default=None)
        if not messages or last is None:
            left_out["no prompt"] += 1
            continue
        try:
            ids = turns.prompt(messages[: last + 1])
        except Unrenderable:
            left_out["not rendered"] += 1
            continue
        if room is not None and len(ids) > room:
            left_out["too long"] += 1
            continue
        answers = [str(turn["content"] or "") for turn in messages[last:] if turn["role"] == "assistant"]
        group = (row.get("slice"), row.get("source"))
        reference = answers[-1] if answers else ""
        openings.append(Opening(str(row["id"]), tuple(messages[: last + 1]), tuple(ids), reference, group))
    return Openings(openings, left_out)


def check(openings: Openings, file: Path) -> None:
    """Raise `InputError` where no episode can begin; print how many rows give none."""
    left_out = dict(openings.left_out)
    if not len(openings):
        remedy = "add rows with a user message, or set align.prompts to rows or pairs, whichever your data has"
        if set(left_out) == {"too long"}:
            remedy = (
                "use shorter rows or fewer tools, lower align.answer_tokens, or choose a base with a longer context"
            )
        why = listed(left_out) or "there is no row"
        raise InputError(f"{file}: no row can start an episode ({why}); {remedy}.")
    if left_out:
        print(
            f"align: {counted(sum(left_out.values()), 'rows')} cannot start an episode: {listed(left_out)}", flush=True
        )
