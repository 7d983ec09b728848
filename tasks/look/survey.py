"""What is seen of data when their first rows are read as `clean` reads them, and templated as `template` would."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.audit.data import COLUMNS, name_of
from tasks.audit.subject import Subject
from tasks.clean.checks import fault
from tasks.clean.classes import with_names
from tasks.clean.columns import ColumnSurvey
from tasks.clean.content import Content, Unusable
from tasks.clean.files import sources
from tasks.clean.read import records
from tasks.clean.record import Record
from tasks.clean.settings import Settings, Splits
from tasks.clean.shapes import to_content
from tasks.clean.split import assigned_split
from tasks.clean.tabular import Ambiguous, choice
from tasks.clean.unread import FATAL, sentence, unknown
from tasks.core.paths import PATHS
from tasks.rows.label_lists import labels_in

TEMPLATED = 2000
"""Rows whose tokens are counted, spread over those that are read."""

LABELS, LONGEST_LABEL = 200, 80
"""Different answers up to which they are taken for labels, and characters of each; each must stand there twice on
average."""

REPEATS = "repeats"
"""Key of a row that is gathered: whether it stood there before."""

DRAWN = "drawn by hash"
"""Rows whose split neither a file nor a key names."""


@dataclass
class View:
    """What is seen of the rows that were read."""

    rows: int = 0
    whole: bool = True
    """Whether there were no more."""
    usable: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    """Rows by the reason for which `clean` would leave them out."""
    first_unusable: dict[str, str] = field(default_factory=dict)
    """Reason -> file and line of the first such row."""
    hints: list[str] = field(default_factory=list)
    """What to do about them, and about columns that are not read."""
    shapes: dict[str, Any] = field(default_factory=dict)
    """As `ColumnSurvey.as_dict` has it."""
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    """Rows by their answer, where answers are labels, or by each label of a list."""
    duplicates: int = 0
    """Rows that stood there before, word for word."""
    conflicts: int = 0
    """Rows that ask what another one asks, and answer otherwise."""
    lengths: list[int] = field(default_factory=list)
    """Tokens of a row with a tokenizer, else characters."""
    tokens: bool = False
    """Whether lengths are tokens."""
    trained: int = 0
    """Tokens of the templated rows that are trained."""
    outcomes: list[Any] = field(default_factory=list)
    """The first rows of each kind as they are trained (tasks.template.outcome.Outcome)."""
    left: Counter[str] = field(default_factory=Counter)
    """Templated rows by the reason for which `template` would leave them out."""
    templated: int = 0
    """Rows that were templated."""
    repeated_left: int = 0
    """Those of them that `template` would leave out, and that `clean` removes as duplicates before."""
    longest: int | None = None
    """Tokens of the longest row that is right; None: nobody says."""
    limit: str = ""
    """Where that number comes from."""

    @property
    def staying(self) -> int:
        """Rows that are left to train, validate and test on; an estimate where not all were templated."""
        unique = self.usable - self.duplicates
        left = self.left.total() - self.repeated_left
        return unique - (round(left * self.usable / self.templated) if self.templated else 0)


def look(data: Path, how: Settings, subject: Subject | None, most: int, shown: int) -> View:
    """Read up to `most` rows of a file or folder. `how`: shape and columns; `shown`: rows of each kind to keep.

    Raises `InputError` for what cannot be read at all.
    """
    how = with_names(how, data)
    view, survey, kept = View(), ColumnSurvey(how.columns, shown=str), list[dict[str, Any]]()
    rows = _records(data)
    answers: Counter[str] = Counter()
    known: dict[bytes, set[bytes]] = {}
    for record in islice(rows, most):
        view.rows += 1
        content = _content(record, how, view)
        if content is None:
            continue
        view.usable += 1
        value = record.value or {}
        survey.add(value, content.shape, survey.missed(value, content), f"{record.source.name}:{record.line}")
        view.splits[_split(record)] += 1
        if len(answers) <= LABELS and content.messages:
            listed = labels_in(content.answer())
            answers.update([content.answer()] if listed is None else listed)
        repeats = _compare(content, known, view) if content.messages or content.text else False
        kept.append(
            {
                **{column: getattr(content, column) for column in COLUMNS},
                "id": name_of(record, view.rows),
                REPEATS: repeats,
            }
        )
        if not subject:
            view.lengths.append(len(content.whole()))
    view.whole = next(rows, None) is None
    view.shapes = survey.as_dict()
    view.hints += [sentence(one, place) for one, place in survey.unread() if one.kind in FATAL]
    are_short = all(len(answer) <= LONGEST_LABEL for answer in answers)
    if 1 < len(answers) <= LABELS and answers.total() >= 2 * len(answers) and are_short:
        view.labels = answers
    view.tokens = subject is not None
    if subject:
        view.longest, view.limit = subject.longest, subject.source
        _template(kept, subject, view, shown)
    return view


def _records(data: Path) -> Iterator[Record]:
    for source in sources(data, Splits()):
        yield from records(source)


def _content(record: Record, how: Settings, view: View) -> Content | None:
    """The content of a record; None where it cannot be used, with the reason noted."""
    place = f"{record.source.name}:{record.line}"
    if record.value is None:
        view.unusable[record.fault or "unreadable"] += 1
        view.first_unusable.setdefault(record.fault or "unreadable", place)
        return None
    try:
        content = to_content(record.value, how.shape, how.alpaca_instruction, how.columns)
        reason = fault(content)
    except Ambiguous as ambiguous:
        reason, hint = ambiguous.reason, choice(ambiguous.candidates)
        if hint not in view.hints:
            view.hints.append(hint)
    except Unusable as unusable:
        reason = unusable.reason
        if reason == "unknown_shape" and not view.unusable[reason]:
            view.hints.append(_nearest(record.value))
        if reason == "missing_column" and not view.unusable[reason]:
            view.hints.append(f"{place}: {unknown(record.value, how.columns)}")
    except RecursionError:
        reason = "too_deep"
    if reason:
        view.unusable[reason] += 1
        view.first_unusable.setdefault(reason, place)
        return None
    return content


def _nearest(value: dict[str, Any]) -> str:
    """What the keys of a row of no known shape are, and the shape that lacks least, if it has one of them."""
    from tasks.clean.columns import PARTS

    optional = ("system prompt", "tools", "earlier turns")
    needed = {name: [names for what, names in parts if what not in optional] for name, parts in PARTS.items()}
    lacks = {
        name: [" or ".join(names) for names in parts if not set(names) & set(value)]
        for name, parts in needed.items()
        if any(set(names) & set(value) for names in parts)
    }
    nearest = min(lacks, key=lambda name: (len(lacks[name]), name), default=None)
    near = f"The nearest is {nearest}, which lacks {', '.join(lacks[nearest][:3])}. " if nearest else ""
    return (
        f"No known format has the keys {', '.join(list(value)[:12])}. {near}"
        f"Name the columns: --column question=NAME --column answer=NAME here, clean.columns in {PATHS.params}."
    )


def _split(record: Record) -> str:
    try:
        return assigned_split(record.source.split, record.value or {}) or DRAWN
    except ValueError:
        return "unknown"


def _compare(content: Content, known: dict[bytes, set[bytes]], view: View) -> bool:
    """Count a row that stood there before, or that answers differently what was asked before; whether it is the first
    of these."""
    asked = _hash(" ".join(content.request()))
    whole = _hash(json.dumps(content.identity(), sort_keys=True, default=str))
    before = known.setdefault(asked, set())
    repeats = whole in before
    view.duplicates += repeats
    view.conflicts += bool(content.messages and before) and not repeats
    before.add(whole)
    return repeats


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _template(rows: list[dict[str, Any]], subject: Subject, view: View, shown: int) -> None:
    """Take some of the rows through the chat template: their tokens, what is trained, and the first of each kind."""
    step = max(1, len(rows) // TEMPLATED)
    kinds: Counter[str] = Counter()
    some = rows[::step][:TEMPLATED]
    view.templated = len(some)
    for row, outcome in zip(some, subject.templater.outcomes(some), strict=True):
        if outcome.tokens:
            view.lengths.append(outcome.tokens)
        if outcome.reason:
            view.left[outcome.reason] += 1
            view.repeated_left += row[REPEATS]
            continue
        view.trained += outcome.trained
        kinds[outcome.kind] += 1
        if kinds[outcome.kind] <= shown:
            view.outcomes.append(outcome)
