"""One record to one row: its content, repaired and checked, and the numbers by which it is compared with others."""

import json
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, NamedTuple

from tasks.clean.checks import fault
from tasks.clean.columns import ColumnSurvey
from tasks.clean.content import Content, Finding, Unusable
from tasks.clean.duplicates import normalise
from tasks.clean.keys import Key, hash64
from tasks.clean.notes import Notes
from tasks.clean.order import value_kind
from tasks.clean.privacy.filter import PrivacyFilter
from tasks.clean.quality import Filters
from tasks.clean.record import Record
from tasks.clean.repair import repair
from tasks.clean.settings import Settings
from tasks.clean.shapes import to_content
from tasks.clean.split import SPLITS, assigned_split
from tasks.clean.tabular import Ambiguous
from tasks.clean.unread import UNKNOWN, Unread
from tasks.clean.write import OPTIONAL
from tasks.rows.canonical import row_id

_SOMETIMES = tuple(OPTIONAL.names)


class KeyedRow(NamedTuple):
    """A line of the scratch file, and the numbers by which it is compared."""

    row: dict[str, Any]
    key: Key


@dataclass(slots=True)
class _Draft:
    """A record on its way to a row."""

    record: Record
    reason: str | None = None
    """Why it leaves."""
    value: dict[str, Any] = field(init=False)
    content: Content = field(init=False)
    split: str | None = None
    missed: list[Unread] = field(init=False)
    findings: list[Finding] = field(init=False)


class RowBuilder:
    """Makes rows by the settings, and notes what shapes they came in and what of them was read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._filters = Filters(settings.quality)
        self.privacy = PrivacyFilter(settings.privacy)
        self.notes = self.fresh_notes()

    def fresh_notes(self) -> Notes:
        """Notes of no row yet."""
        return Notes(ColumnSurvey(self._settings.columns, self._settings.row_keys))

    def shown(self, name: str) -> str:
        """The name of a column as it may stand in a log."""
        return self.privacy.redact_name(_named(name)) or ""

    def build(self, records: list[Record]) -> list[KeyedRow]:
        """The row of each record; or the record with the reason why it leaves.

        Each step goes over all records before the next one begins, which takes half the time of one record after the
        other: code and patterns of one step stay in the processor's cache. For example:

            ((row, key),) = RowBuilder(settings).build([record])
            row.get("reason")  # why it leaves, as `empty_turn`; a row that stays has none
        """
        drafts = [_Draft(record) for record in records]
        staying = self._checked(self._without_private(self._repaired(self._read(drafts))))
        for draft in staying:
            place = f"{draft.record.source.name}:{draft.record.line}"
            self.notes.columns.add(draft.value, draft.content.shape, draft.missed, place)
        return [self._row(draft) if draft.reason is None else self._left(draft) for draft in drafts]

    def _read(self, drafts: "list[_Draft]") -> "list[_Draft]":
        """Those that can be read, with their content and split."""
        settings, staying = self._settings, []
        for draft in drafts:
            record = draft.record
            if record.value is None:
                draft.reason = record.fault or ""
                continue
            try:
                draft.content = to_content(record.value, settings.shape, settings.alpaca_instruction, settings.columns)
                draft.split = assigned_split(record.source.split, record.value)
            except Unusable as unusable:
                draft.reason = unusable.reason
                self._note_unusable(record.value, unusable)
            except ValueError:
                draft.reason = "unknown_split"
            except RecursionError:
                draft.reason = "too_deep"
            else:
                draft.value, draft.findings = record.value, list(draft.content.findings)
                staying.append(draft)
        return staying

    def _note_unusable(self, value: dict[str, Any], unusable: Unusable) -> None:
        if self.notes.unknown_keys is None and unusable.reason in UNKNOWN:
            self.notes.unknown_keys = tuple(map(self.shown, value))
        if isinstance(unusable, Ambiguous) and not self.notes.candidates:
            self.notes.candidates = tuple(map(self.shown, unusable.candidates))

    def _repaired(self, drafts: "list[_Draft]") -> "list[_Draft]":
        """Those that stay, with texts as they were meant; what of the columns is not read is noted before that."""
        staying = []
        for draft in drafts:
            try:
                draft.missed = self.notes.columns.missed(draft.value, draft.content)
            except RecursionError:
                draft.reason = "too_deep"
            else:
                staying.append(draft)
        fixes = self._settings.repair
        for draft in staying if fixes else ():
            draft.findings += repair(draft.content, fixes)
        return staying

    def _without_private(self, drafts: "list[_Draft]") -> "list[_Draft]":
        """Those that stay after a look at private values, which are redacted where that is asked for."""
        suspects = self.privacy.suspects([draft.content for draft in drafts])
        for draft in compress(drafts, suspects):
            try:
                private = self.privacy.scan(draft.content, self.notes.private_rows, self.notes.private_findings)
            except RecursionError:
                draft.reason = "too_deep"
                continue
            if private:
                redact = self.privacy.redact_name
                hidden = [replace(finding, shown=redact(finding.shown) or "") for finding in draft.findings]
                draft.findings = [*hidden, *private]
                draft.reason = next((finding.name for finding in private if finding.drops), None)
        return [draft for draft in drafts if draft.reason is None]

    def _checked(self, drafts: "list[_Draft]") -> "list[_Draft]":
        """Those that stay after the checks of what a row must be, and the steps of `clean.quality`."""
        for draft in drafts:
            draft.reason = fault(draft.content)
        sound = [draft for draft in drafts if draft.reason is None]
        for draft in sound:
            draft.findings += self._filters.check(draft.content, draft.value)
            if draft.findings and draft.findings[-1].drops:
                draft.reason = draft.findings[-1].name
        return [draft for draft in sound if draft.reason is None]

    def _row(self, draft: "_Draft") -> KeyedRow:
        record, value, content = draft.record, draft.value, draft.content
        more = {name: kept for name in _SOMETIMES if (kept := getattr(content, name)) is not None}
        self.notes.optional_columns.update(more)
        source = self.privacy.redact_name(_named(value.get("source"))) or record.source.name
        name, turns = row_id(source, content.identity()), [normalise(turn) for turn in content.request()]
        row = {
            **self._origin(record),
            "id": name,
            "source": source,
            "slice": self.privacy.redact_name(_named(value.get("slice"))),
            "request": (request := " ".join(turns)),
            "whole": content.whole(),
            "messages": content.messages,
            "text": content.text,
            **more,
        }
        if self._settings.order_key:
            row["order"] = self._order(value.get(self._settings.order_key), draft.split, record)
        if draft.findings:
            row["found"] = [{"finding": finding.name, "shown": finding.shown} for finding in draft.findings]
        asked, group = hash64(request), self._settings.group
        self.notes.seen_keys.update(
            key for key in (group, self._settings.stratify) if key and value.get(key) is not None
        )
        key = Key(
            id=int(name, 16),
            content=hash64(_identity(content, turns)),
            request=asked,
            group=(_number(value.get(group)) if group else 0) or asked,
            stratum=self._stratum(value, source),
            answer=len(content.answer()),
            split=-1 if draft.split is None else SPLITS.index(draft.split),
            part=record.source.part,
            dialogue=content.messages is not None,
        )
        return KeyedRow(row, key)

    def _order(self, value: Any, split: str | None, record: Record) -> str | None:
        """The value by which training goes, as text; None for one that has no order, which is noted, and for rows that
        are named for another split."""
        if split not in (None, "train"):
            return None
        self.notes.order.add(value, f"{record.source.name}:{record.line}")
        kind = value_kind(value)
        if kind == "number":
            return repr(float(value))
        return self.privacy.redact_name(_named(value)) if kind == "text" else None

    def _left(self, draft: "_Draft") -> KeyedRow:
        return KeyedRow({**self._origin(draft.record), "reason": draft.reason}, Key(left=True))

    def _origin(self, record: Record) -> dict[str, Any]:
        return {"file": record.source.name, "line": record.line, "row": self.privacy.raw(record)}

    def _stratum(self, value: dict[str, Any], source: str) -> int:
        key = self._settings.stratify
        return 0 if key is None else _number(source if key == "source" else value.get(key))


def _named(name: Any) -> str | None:
    """A name that a row gives, in valid Unicode; None where it gives none."""
    return name.encode("utf-8", "backslashreplace").decode() if isinstance(name, str) and name else None


def _number(value: Any) -> int:
    """The number of any value; 0 of none."""
    return 0 if value is None else hash64(json.dumps(value, sort_keys=True, default=str))


def _identity(content: Content, turns: list[str]) -> str:
    """What two rows share when they are duplicates; answers count exactly, for case can matter in them.

    `turns`: what is asked, turn by turn, normalised.
    """
    if content.text is not None:
        return f"text {turns[0]}"
    asked, part_asked = iter(turns), content.asked()
    pieces = [content.tools or "", repr(content.label)]
    for part in content.parts():
        pieces.append(str(len(part)))
        for turn in part:
            text = next(asked) if part is part_asked and turn["role"] == "user" else turn["content"]
            pieces += (turn["role"], text, turn["extra"] or "")
    return "\0".join(pieces)
