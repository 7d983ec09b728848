"""Which columns the rows of each shape are read from, and which are not read: none is passed over in silence."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.clean.anchors import ANCHORS, POSITIVES, negative_columns
from tasks.clean.classes import class_names
from tasks.clean.content import Content
from tasks.clean.modality import is_turn
from tasks.clean.names import is_empty, kind_of
from tasks.clean.settings import Columns
from tasks.clean.switches import UNCLEAR
from tasks.clean.tabular import table
from tasks.clean.unread import FATAL, Unread, sentence
from tasks.core.errors import InputError
from tasks.core.numbers import counted

_TOOLS = ("tools", ("tools", "functions"))
_SYSTEM = ("system prompt", ("system",))
_TURNS = ("messages", "conversations")

Parts = tuple[tuple[str, tuple[str, ...]], ...]

PARTS: dict[str, Parts] = {
    "messages": (("dialogue", _TURNS), _SYSTEM, _TOOLS),
    "sharegpt": (("dialogue", _TURNS), _SYSTEM, _TOOLS),
    "alpaca": (
        _SYSTEM,
        ("earlier turns", ("history",)),
        ("question", ("instruction",)),
        ("question", ("input", "context")),
        ("answer", ("output", "response")),
        _TOOLS,
    ),
    "prompt_completion": (_SYSTEM, ("question", ("prompt",)), ("answer", ("completion",)), _TOOLS),
    "preference": (
        _SYSTEM,
        ("question", ("prompt", *_TURNS)),
        ("chosen answer", ("chosen",)),
        ("rejected answer", ("rejected",)),
        _TOOLS,
    ),
    "kto": (_SYSTEM, ("question", ("prompt",)), ("answer", ("completion", *_TURNS)), ("label", ("label",)), _TOOLS),
    "text": (("text", ("text",)),),
    "anchored": (("question", ANCHORS), ("answer", POSITIVES)),
}
"""Shape -> its parts in order, each with the columns that may hold it, of which the first that is there is read."""

BESIDE = {
    "id": "name", "source": "source", "split": "split", "slice": "slice", "weight": "weight",
    "finish_reason": "end of the generation",
}  # fmt: skip
"""Columns that are read in rows of every shape."""

MOST = 200
"""Names that are kept for a shape; there are data in which every row has others."""

CLASSES = 10
"""Names of classes that are listed."""


def reading(value: dict[str, Any], shape: str, columns: Columns) -> dict[str, str]:
    """Column -> what it is read as, of a row with this shape.

    >>> reading({"instruction": "a", "output": "b", "page": 1}, "alpaca", Columns())
    {'instruction': 'question', 'output': 'answer'}
    """
    read = {name: what for name, what in BESIDE.items() if value.get(name) is not None}
    if shape == "columns":
        mapped: tuple[tuple[str, str | None], ...] = (
            ("system prompt", columns.system),
            ("question", columns.question),
            ("answer", columns.answer),
        )
        mapped = (*mapped, *(("class", name) for name in columns.class_columns))
        parts = (("text", columns.text),) if columns.text else mapped
        first = [(what, name if name in value else name.split(".")[0]) for what, name in parts if name]
        named: Parts = tuple((what, (name,)) for what, name in first)
        named = named if columns.text else (*named, _TOOLS)
    elif shape in PARTS:
        named = PARTS[shape]
    else:
        there = {name: kept for name, kept in value.items() if kept is not None}
        by_part = read_as.columns if (read_as := table(there)) else {}
        named = (*((part, (name,)) for part, name in by_part.items()), _SYSTEM, _TOOLS)
    if shape == "anchored":
        named = (*named, *(("wrong answer", (name,)) for name in negative_columns(value)))
    parts_read = {}
    for what, names in named:
        if name := next((name for name in names if value.get(name) is not None), None):
            parts_read[name] = what
    return parts_read | {name: what for name, what in read.items() if name not in parts_read}


@dataclass
class _Shape:
    """What rows of one shape have."""

    rows: int = 0
    read: dict[str, str] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    others: int = 0
    """Values under further names."""


class ColumnSurvey:
    """Counts, row by row, what each shape is read from and what is not read.

    For example:

        survey, row = ColumnSurvey(settings.columns), {"text": "a", "label": 3}
        survey.add(row, "text", survey.missed(row, to_content(row)), "rows.jsonl:1")
        survey.as_dict()  # {"text": {"rows": 1, "read": {"text": "text"}, "not_read": {"label": 1}}}
    """

    def __init__(self, columns: Columns, keys: Iterable[str] = (), shown: Callable[[str], str] | None = None) -> None:
        """`keys`: columns that settings name, such as `clean.group`; `shown`: gives a name as it may stand in a log.

        Without `shown` it is a part of a survey, and keeps every name for `merge`.
        """
        self._columns = columns
        self._keys, self._shown = frozenset(keys), shown or str
        self._most = MOST if shown else sys.maxsize
        self._shapes: dict[str, _Shape] = {}
        self._read: dict[tuple[str, ...], dict[str, str]] = {}
        self._unread: Counter[Unread] = Counter()
        self._first: dict[Unread, str] = {}

    def missed(self, value: dict[str, Any], content: Content) -> list[Unread]:
        """What of a row is not read though it looks like a part of it. `content`: what was read, as it came."""
        read, ignored, shape = self._reading(value, content.shape), self._columns.ignored, content.shape
        missed = [
            Unread(shape, name, kind, False, kind == "answer" and _is_number(kept))
            for name, kept in value.items()
            if name not in read and name not in ignored and name not in self._keys
            if (kind := kind_of(name, kept, shape)) and not _repeats(kept, content)
        ]
        unclear = sorted(_unclear(value, self._columns).difference(ignored))
        return missed + [Unread(shape, key, "switch", True) for key in unclear]

    def add(self, value: dict[str, Any], shape: str, missed: list[Unread], where: str) -> None:
        """Count a row that stays. `where`: its file and line."""
        about, read = self._shapes.setdefault(shape, _Shape()), self._reading(value, shape)
        about.rows += 1
        about.read.update(read)
        for name, kept in value.items():
            if name not in read and not is_empty(kept):
                self._add_unread(about, name, 1)
        for one in missed:
            self._unread[one] += 1
            self._first.setdefault(one, where)

    def merge(self, later: "ColumnSurvey") -> None:
        """Take in a part, of the rows that follow, as if they had been added one by one."""
        for shape, part in later._shapes.items():
            about = self._shapes.setdefault(shape, _Shape())
            about.rows += part.rows
            about.read.update(part.read)
            for name, count in part.unread.items():
                self._add_unread(about, name, count)
        self._unread.update(later._unread)
        self._first = later._first | self._first

    def state(self) -> list[Any]:
        """All that was counted, as a value of JSON; of a part of a survey."""
        shapes = [
            [name, shape.rows, list(shape.read.items()), list(shape.unread.items())]
            for name, shape in self._shapes.items()
        ]
        return [shapes, [[*one, count, self._first[one]] for one, count in self._unread.items()]]

    def restore(self, state: list[Any]) -> None:
        """Count what a survey of no rows yet lacks, from the `state` of another."""
        shapes, unread = state
        for name, rows, read, others in shapes:
            self._shapes[name] = _Shape(rows, dict(read), Counter(dict(others)))
        for *one, count, first in unread:
            self._unread[Unread(*one)] = count
            self._first[Unread(*one)] = first

    def _add_unread(self, about: _Shape, name: str, count: int) -> None:
        if name in about.unread or len(about.unread) < self._most:
            about.unread[name] += count
        else:
            about.others += count

    def _reading(self, value: dict[str, Any], shape: str) -> dict[str, str]:
        present = (shape, *(name for name, kept in value.items() if kept is not None))
        read = self._read.get(present)
        if read is None:
            if len(self._read) > MOST:
                self._read.clear()
            there = {name: kept for name, kept in value.items() if name not in self._columns.ignored}
            read = self._read[present] = reading(there, shape, self._columns)
        return read

    def unread(self) -> list[tuple[Unread, str]]:
        """What seems to hold a part of the rows and is not read, the most frequent first, each with its first place."""
        return [(one, self._first[one]) for one, _ in self._unread.most_common()]

    @property
    def shapes(self) -> dict[str, int]:
        """How many rows each shape has."""
        return {name: shape.rows for name, shape in self._shapes.items()}

    def as_dict(self) -> dict[str, Any]:
        """Shape -> rows, columns that are read and as what, and columns that are not, with the rows that have them."""
        shown = self._shown
        summary: dict[str, Any] = {}
        for name, shape in sorted(self._shapes.items()):
            summary[name] = {
                "rows": shape.rows,
                "read": {shown(column): what for column, what in shape.read.items()},
                "not_read": {shown(column): count for column, count in sorted(shape.unread.items())},
            }
            if shape.others:
                summary[name]["further_not_read"] = shape.others
        return summary

    def check(self, where: Path) -> None:
        """Raise `InputError` where a column is not read that the rows would be trained wrongly without.

        `where`: the file or folder that the rows are from.
        """
        fatal = [(one, count) for one, count in self._unread.most_common() if one.kind in FATAL]
        if not fatal:
            return
        (worst, count), *others = fatal
        names = ", ".join(dict.fromkeys(self._shown(one.name) for one, _ in others[:8]))
        more = f" Also unused: {names}." if others else ""
        classes, file = class_names(where, worst.name) if worst.numbers else ([], "")
        shown = [f"{number} is {self._shown(name)!r}" for number, name in enumerate(classes[:CLASSES])]
        further = f" and {len(classes) - CLASSES} more" if len(classes) > CLASSES else ""
        known = f" ({', '.join(shown)}{further}, as {file} says)" if classes else ""
        worst_shown = Unread(worst.shape, self._shown(worst.name), *worst[2:])
        raise InputError(
            f"{where}: {sentence(worst_shown, self._first[worst], known)} It is in {counted(count, 'rows')}.{more}"
        )


def lines(summary: dict[str, Any]) -> Iterator[str]:
    """A line for each shape of `ColumnSurvey.as_dict`: what is read as what, and what is not read."""
    for shape, about in summary.items():
        read = ", ".join(f"{name} ({what})" if name != what else name for name, what in about["read"].items())
        unread = ", ".join(about["not_read"]) or "none"
        more = f" and {about['further_not_read']} values under further names" if "further_not_read" in about else ""
        yield f"{counted(about['rows'], 'rows')} of the shape {shape}; read: {read}; not read: {unread}{more}"


def _is_number(value: Any) -> bool:
    """Whether a value is a whole number, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(one, int) and not isinstance(one, bool) for one in values)


def _repeats(value: Any, content: Content) -> bool:
    """Whether a text stands in the row already, as a turn of its own."""
    if not isinstance(value, str):
        return False
    text = value.strip()
    return text == (content.text or "").strip() or any(text == turn["content"].strip() for turn in content.turns())


def _unclear(value: dict[str, Any], columns: Columns) -> set[str]:
    """Keys of turns that switch their loss in a way that is not certain."""
    clear = {columns.masked, columns.trained}
    return {
        key
        for kept in value.values()
        for turn in (kept if isinstance(kept, list) else [kept])
        if is_turn(turn)
        for key in UNCLEAR.intersection(turn) - clear
        if not is_empty(turn[key])
    }
