"""Which rows begin alike, by their token ids: the examples of a task, a system prompt, the words of a template."""

from collections.abc import Sequence

Ids = list[int]

GAIN = 16
"""Tokens that rows have to share beyond what they share with more rows; fewer are not worth a batch of their own."""

LEAST = 8
"""Rows that go apart from others, so that batches stay large."""

LEVELS = 64
"""Starts within starts that are looked at; benchmarks have three: template, subject, examples."""


def families(rows: Sequence[Ids]) -> list[tuple[int, list[int]]]:
    """Indices of rows that begin alike, with the number of tokens in which they do, each row in one family.

        families([[*examples, 7, 8], [*examples, 9]])  # [(len(examples), [0, 1])]

    At least one token of each row stays outside of its family's start. 0 tokens: rows that share too little.
    """
    rest, apart = _split(list(range(len(rows))), rows, 0, LEVELS)
    return [*apart, *([(0, rest)] if rest else [])]


def _split(
    members: list[int], rows: Sequence[Ids], known: int, levels: int
) -> tuple[list[int], list[tuple[int, list[int]]]]:
    """Of `members`, those that stay with the rows around them, with which they share `known` tokens, and families."""
    if len(members) < LEAST or not levels:
        return members, []
    most = min(len(rows[index]) for index in members) - 1
    first, last = min(rows[index] for index in members), max(rows[index] for index in members)
    start = next((place for place in range(most) if first[place] != last[place]), most)  # others are between these two
    gained = start - known >= GAIN
    rest = [index for index in members if len(rows[index]) == start + 1]
    branches: dict[int, list[int]] = {}
    for index in members:
        if len(rows[index]) > start + 1:
            branches.setdefault(rows[index][start], []).append(index)
    apart: list[tuple[int, list[int]]] = []
    for branch in branches.values():
        left, families_within = _split(branch, rows, start if gained else known, levels - 1)
        rest += left
        apart += families_within
    return ([], [*apart, (start, sorted(rest))]) if gained and rest else (rest, apart)
