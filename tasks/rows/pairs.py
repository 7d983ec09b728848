"""A canonical row as texts that belong together: a question, what answers it, and what seems to and does not."""

import json
from dataclasses import dataclass
from typing import Any

from tasks.rows.canonical import Message

POSITIVES, NEGATIVES = "positives", "negatives"
"""Keys of the answer's turn: further texts that belong to the question, and texts that do not."""


@dataclass(frozen=True)
class Texts:
    """What an embedding model learns of a row."""

    anchor: str
    positives: tuple[str, ...]
    """Texts that belong to the anchor: one at least."""
    negatives: tuple[str, ...] = ()
    """Texts that do not, of those that the row names."""


def texts(row: dict[str, Any]) -> Texts | None:
    """The texts of a canonical row with one question and one answer, or a chosen and a rejected one; else None.

    >>> turn = {"role": "user", "content": "stop web", "extra": None}
    >>> texts({"messages": [turn, {**turn, "role": "assistant", "content": "docker stop web"}]})
    Texts(anchor='stop web', positives=('docker stop web',), negatives=())
    """
    prompt, answer, rejected = row.get("prompt"), row.get("chosen"), row.get("rejected")
    if row.get("messages"):
        *prompt, last = row["messages"]
        answer = [last]
    if not prompt or not answer or row.get("tools"):
        return None
    lists = [[_opened(turn) for turn in part] for part in (prompt, answer, rejected) if part]
    roles = [[turn["role"] for turn in part] for part in lists]
    if roles[0] != ["user"] or any(other != ["assistant"] for other in roles[1:]):
        return None
    (question,), (right,), *wrong = lists
    if right.get("tool_calls"):
        return None
    return Texts(
        question["content"],
        (right["content"], *right.get(POSITIVES, ())),
        (*(turn["content"] for part in wrong for turn in part), *right.get(NEGATIVES, ())),
    )


def _opened(turn: dict[str, Any]) -> Message:
    """A turn with its further keys beside the others, where they are still JSON."""
    return {**turn, **json.loads(turn.get("extra") or "{}")}
