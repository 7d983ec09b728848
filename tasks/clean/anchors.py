"""Rows for embeddings: a text, what belongs to it, and what seems to and does not, under the names that they have in
data sets of sentence-transformers, FlagEmbedding and their kind."""

import json
import re
from collections.abc import Collection
from typing import Any

from tasks.clean.content import Turn, Unusable
from tasks.rows.pairs import NEGATIVES as WRONG
from tasks.rows.pairs import POSITIVES as RIGHT

ANCHORS = ("anchor", "query")
POSITIVES = ("positive", "positives", "pos", "document")
"""Columns of what belongs to the anchor: a text, or a list of texts."""

_NEGATIVE = re.compile(r"negatives?(_\d+)?|neg|hard_negatives?(_\d+)?")
_ELSE = frozenset({"answer", "answers", "response", "output", "completion", "label", "labels", "score", "messages"})
"""Columns by which a row with a query and a document is another thing: an answer from a document, or a rating."""


def anchored(keys: Collection[str]) -> bool:
    """Whether a row with these columns is a text and what belongs to it.

    >>> anchored({"anchor", "positive"}), anchored({"query", "document"}), anchored({"query", "document", "answer"})
    (True, True, False)
    """
    if not any(name in keys for name in ANCHORS) or not any(name in keys for name in POSITIVES):
        return False
    sure = "anchor" in keys or any(name in keys for name in POSITIVES[:-1])
    return sure or _ELSE.isdisjoint(keys)


def negative_columns(value: dict[str, Any]) -> list[str]:
    """Columns of what does not belong to the anchor, in the order of the row: negative, negative_1, negatives, neg."""
    return [name for name, kept in value.items() if _NEGATIVE.fullmatch(name) and kept is not None]


def may_be_triplet(value: dict[str, Any]) -> bool:
    """Whether an anchored row holds no more than a chosen and a rejected answer do."""
    several = any(isinstance(kept, list | tuple) and len(kept) > 1 for kept in value.values())
    return not several and len(negative_columns(value)) < 2


def anchored_turns(value: dict[str, Any]) -> list[Turn]:
    """The anchor as a question, the first text that belongs to it as the answer, the others as keys of its turn.

    Raises `Unusable` where one of them is missing, empty or no text.
    """
    anchor = next((value[name] for name in ANCHORS if value.get(name) is not None), None)
    positives = _texts(next((value[name] for name in POSITIVES if value.get(name) is not None), None))
    negatives = [text for name in negative_columns(value) for text in _texts(value[name])]
    (question,) = _texts(anchor) if isinstance(anchor, str) else [_no_text(anchor)]
    if not positives:
        raise Unusable("no_answer")
    if not all(text.strip() for text in (*positives[1:], *negatives)):
        raise Unusable("empty_turn")
    if set(positives) & set(negatives):
        raise Unusable("equal_pair")
    more = {key: list(dict.fromkeys(texts)) for key, texts in ((RIGHT, positives[1:]), (WRONG, negatives)) if texts}
    extra = json.dumps(more, ensure_ascii=False, sort_keys=True) if more else None
    return [
        {"role": "user", "content": question, "extra": None},
        {"role": "assistant", "content": positives[0], "extra": extra},
    ]


def _texts(value: Any) -> list[str]:
    """A text, or the texts of a list."""
    texts = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return [text if isinstance(text, str) else _no_text(text) for text in texts]


def _no_text(value: Any) -> str:
    raise Unusable("empty_turn" if value is None else "not_text")
