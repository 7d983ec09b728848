"""A column, or a key of turns, that seems to hold a part of a row and is not read: what to say, and what to write."""

from collections.abc import Iterable
from typing import NamedTuple

from tasks.clean.names import Kind
from tasks.clean.settings import Columns
from tasks.core.paths import PATHS

FATAL: frozenset[Kind] = frozenset({"answer", "switch"})
"""Kinds of columns without which the rows would be trained as something else."""


UNKNOWN = frozenset({"unknown_shape", "missing_column"})
"""Reasons that say: the keys of the row are those of no format."""

MOST_KEYS, LONGEST_KEY = 12, 40
"""Keys of a row that a message shows, and characters of each."""


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


def unknown(keys: Iterable[str], columns: Columns) -> str:
    """What to do about rows with these `keys`, which are those of no known format, nor those that `columns` names."""
    few = list(keys)[:MOST_KEYS]
    shown = ", ".join(key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}…" for key in few)
    start = f"no known format has {f'the keys {shown}' if few else 'no keys'}"
    if not columns.is_mapped:
        return f"{start}; name the columns in clean.columns, such as {{question: NAME, answer: NAME}}."
    roles = {role: getattr(columns, role) for role in ("system", "question", "answer", "text")}
    names = [name for name in (*roles.values(), *columns.class_columns) if name]
    return f"{start}, and clean.columns names {', '.join(names)}; correct clean.columns, or move these rows elsewhere."


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
