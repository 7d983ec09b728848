"""The questions of a benchmark that are asked where not all of them are: drawn so that they stand for all.

Many tasks list their questions by subject, by source or by difficulty, so that the first ones stand for themselves.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.rows.draw import ROWS_A_CLASS, Drawable, draw

CATEGORIES = ("category", "subcategory", "subject", "topic", "domain", "task", "type", "level", "difficulty", "source")
"""Columns of a question that may say of what kind it is, the first of them first."""


@dataclass(frozen=True)
class Questions:
    """Which questions of a task are asked."""

    numbers: Sequence[int]
    """Their places among all, rising."""
    record: dict[str, Any]
    """`rows` asked, `of` how many, and `by` what they keep their shares: the name of a column, `answer`, `chance` (by
    nothing), `all`, or `first`, where lm-eval can take the first ones only."""


def questions(task: Any, limit: int | None, *, drawn: bool = True) -> Questions:
    """At most `limit` questions of `task` (of lm-eval), always the same ones; `drawn`: whether lm-eval takes numbers.

    Each category keeps its share, or, where the task has none, each answer (that of choices is the right one's number).
    """
    count = len(task.eval_docs)
    if limit is None or limit >= count:
        return Questions(range(count), {"rows": count, "of": count, "by": "all"})
    if not drawn:
        return Questions(range(limit), {"rows": limit, "of": count, "by": "first"})
    docs = list(task.eval_docs)
    column = next((name for name in CATEGORIES if _tells(docs, name)), None)
    kinds = [str(doc[column] if column else task.doc_to_target(doc)) for doc in docs]
    name = str(task.config.task)
    indices, record = draw([Drawable(f"{name}/{at}", kind, ()) for at, kind in enumerate(kinds)], limit)
    by = (column or "answer") if record["by"] == "class" else "chance"
    return Questions(indices, {**record, "by": by})


def takes_numbers() -> bool:
    """Whether the installed lm-eval can be told which questions it asks."""
    from lm_eval.evaluator import evaluate

    return "samples" in inspect.signature(evaluate).parameters


def _tells(docs: Sequence[Any], column: str) -> bool:
    """Whether the questions are of some kinds by this column, with rows enough of each on average."""
    if not all(isinstance(doc, dict) and isinstance(doc.get(column), str | int) for doc in docs):
        return False
    return 1 < len({doc[column] for doc in docs}) <= len(docs) / ROWS_A_CLASS
