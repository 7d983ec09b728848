"""A column, or a key of turns, that seems to hold a part of a row and is not read: what to say, and what to write."""

from typing import NamedTuple

from tasks.clean.names import Kind
from tasks.core.paths import PATHS

FATAL: frozenset[Kind] = frozenset({"answer", "switch"})
"""Kinds of columns without which the rows would be trained as something else."""


class Unread(NamedTuple):
    """A column, or a key of turns, that seems to hold a part of the row and is not read."""

    shape: str
    name: str
    kind: Kind
    of_turns: bool
    numbers: bool = False
    """Whether it holds whole numbers, as columns of classes do."""


def sentence(unread: Unread, first: str, classes: str = "") -> str:
    """What is not read, where, and what to write into section `clean`.

    `first`: file and line of a row that has it; `classes`: in brackets, what the numbers that it holds stand for.
    """
    what = f"the key '{unread.name}' of turns" if unread.of_turns else f"the column '{unread.name}'"
    means = "may switch their loss" if unread.kind == "switch" else "looks like an answer"
    numbers = f"it holds numbers, but answers must be texts: replace them by class names{classes}; then "
    return (
        f"{what} {means} but is not used in rows of the format {unread.shape}, such as {first}; "
        f"{numbers if unread.numbers else ''}in section clean of {PATHS.params} write {advice(unread)}."
    )


def advice(unread: Unread) -> str:
    """What to write into section `clean`, by what the column is to be."""
    ignore = f"columns: {{ignored: [{unread.name}]}} to leave it out"
    if unread.of_turns:
        name = unread.name
        return f"columns: {{masked: {name}}} if true means no loss, {{trained: {name}}} if true means loss, or {ignore}"
    if unread.kind == "switch":
        return f"remove the rows that it switches off, give them weight: 0, or write {ignore}"
    question = "text" if unread.shape == "text" else "NAME"
    texts = "" if unread.numbers else " (answers are texts)"
    return f"columns: {{question: {question}, answer: {unread.name}}} to train it{texts}, or {ignore}"
