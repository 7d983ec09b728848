"""Some rows, drawn so that they stand for all of them.

Every kind of row keeps its share. Who is drawn is decided by the hash of a row's id: the same rows every time, whatever
the order of the file, and where rows are added, nearly the same.
"""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

SEED = "draw"
"""Goes into the hash, so that what is drawn here is independent of what ids decide elsewhere."""

ROWS_A_CLASS = 2
"""Rows that share a reference, on average, where references are classes."""


class Drawable(NamedTuple):
    """What of a row decides whether it is drawn."""

    id: str
    reference: str
    group: tuple[Any, ...]
    """Such as its slice and source."""


def draw(rows: Sequence[Drawable], limit: int | None) -> tuple[list[int], dict[str, Any]]:
    """Indices of at most `limit` rows, in their order, and on record: `rows` drawn, `of` how many, and `by` what.

    That is `all`, or so that each `class` keeps its share, or, where references are no classes, each `group`.

    >>> draw([Drawable(name, name.upper(), ()) for name in "abcd"], 2)[1]
    {'rows': 2, 'of': 4, 'by': 'group'}
    """
    if limit is None or limit >= len(rows):
        return list(range(len(rows))), {"rows": len(rows), "of": len(rows), "by": "all"}
    classes = [" ".join(row.reference.split()) for row in rows]
    by_class = 1 < len(set(classes)) <= len(rows) / ROWS_A_CLASS
    kinds = classes if by_class else [repr(row.group) for row in rows]
    members = defaultdict(list)
    for index, kind in enumerate(kinds):
        members[kind].append(index)
    # each row has a place in its kind, of a kind with four rows 1/8, 3/8, 5/8 or 7/8: the first places are drawn
    places: dict[int, tuple[float, str]] = {}
    for indices in members.values():
        for rank, (key, index) in enumerate(sorted((_hash(rows[index].id), index) for index in indices)):
            places[index] = ((rank + 0.5) / len(indices), key)
    chosen = sorted(sorted(places, key=lambda index: (*places[index], index))[:limit])
    return chosen, {"rows": limit, "of": len(rows), "by": "class" if by_class else "group"}


def _hash(text: str) -> str:
    return sha256(f"{SEED}\n{text}".encode()).hexdigest()
