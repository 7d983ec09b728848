"""The answer of a row that has any number of classes: a JSON list of their names, `[]` for none.

>>> as_answer(["late", "broken"])
'["late", "broken"]'
>>> labels_in('["late",  "lost  card"]'), labels_in("[]"), labels_in("late")
(('late', 'lost card'), (), None)
"""

import json
from collections.abc import Iterable, Sequence

THRESHOLD = 0.5
"""Probability from which a class applies, where nothing else is said."""


def as_answer(labels: Iterable[str]) -> str:
    """The answer that names `labels`, in their order."""
    return json.dumps(list(labels), ensure_ascii=False)


def labels_in(text: str) -> tuple[str, ...] | None:
    """The classes that an answer names, in its order, each with single spaces; None where it is no list of texts."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return None
    return tuple(" ".join(one.split()) for one in value)


def as_sets(texts: Sequence[str | None]) -> list[frozenset[str] | None]:
    """The classes of each row, of a column of such answers; None where there is none."""
    lists = [None if text is None else labels_in(text) for text in texts]
    return [None if labels is None else frozenset(labels) for labels in lists]
