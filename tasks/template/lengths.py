"""What becomes of a row that is longer than allowed, without touching what the settings protect."""

from collections.abc import Callable
from typing import Any

from tasks.rows.canonical import Message
from tasks.template.sequence import Sequence

EDGES = [0, *(2**power for power in range(4, 18))]
"""Tokens at which the ranges of the histogram begin; the last one is open."""

Tokens = Callable[[list[Message]], Sequence]
"""A dialogue as token ids."""


def exchanges(messages: list[Message]) -> tuple[list[Message], list[list[Message]]]:
    """The system prompt (or nothing), and the dialogue cut before each turn of the user."""
    head = messages[:1] if messages[0]["role"] == "system" else []
    parts: list[list[Message]] = []
    for message in messages[len(head) :]:
        if message["role"] == "user" or not parts:
            parts.append([])
        parts[-1].append(message)
    return head, parts


def without_oldest(messages: list[Message], tokens: Tokens, limit: int) -> tuple[list[Message], Sequence] | None:
    """The dialogue without as many of its oldest exchanges as must go, as tokens; None where the last is too long."""
    head, parts = exchanges(messages)
    low, high = 1, len(parts) - 1  # numbers of exchanges that go; the more go, the shorter it is
    shortened = None
    while low <= high:
        gone = (low + high) // 2
        kept = head + [message for part in parts[gone:] for message in part]
        sequence = tokens(kept)
        if len(sequence) <= limit:
            shortened, high = (kept, sequence), gone - 1
        else:
            low = gone + 1
    return shortened


def in_parts(messages: list[Message], tokens: Tokens, limit: int) -> list[Sequence] | None:
    """The dialogue as several, each the system prompt and as many exchanges as fit; None where one does not fit."""
    head, parts = exchanges(messages)
    sequences: list[Sequence] = []
    begin = 0
    while begin < len(parts):
        low, high, best = begin + 1, len(parts), None
        while low <= high:
            end = (low + high) // 2
            candidate = tokens(head + [message for part in parts[begin:end] for message in part])
            if len(candidate) <= limit:
                best, low = (end, candidate), end + 1
            else:
                high = end - 1
        if best is None:
            return None
        begin = best[0]
        sequences.append(best[1])
    return sequences


def windows(whole: Sequence, limit: int) -> list[Sequence]:
    """A text in pieces of `limit` tokens, one behind the other: each token once, the end token at the end alone."""
    return [whole.cut(start, start + limit) for start in range(0, len(whole), limit)]


def without_end(whole: Sequence, limit: int) -> Sequence | None:
    """The row without its end, which loses the last stop token too; None where nothing trained would be left."""
    shortened = whole.cut(0, limit)
    return shortened if shortened.runs else None


def summary(lengths: Any) -> dict[str, Any]:
    """Percentiles of row lengths in tokens (nearest rank), and a histogram.

    Args:
        lengths: numpy array of integers.
    """
    import numpy as np

    if not len(lengths):
        return {}
    ordered = np.sort(lengths)
    ranks = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    percentiles = {name: int(ordered[max(0, -(-rank * len(ordered) // 100) - 1)]) for name, rank in ranks.items()}
    places = np.searchsorted(EDGES, ordered, side="right") - 1
    return {**percentiles, "histogram": {"edges": EDGES, "rows": np.bincount(places, minlength=len(EDGES)).tolist()}}
