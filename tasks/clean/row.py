"""One record to one row: its content, repaired and checked, and the numbers by which it is compared with others."""

import json
from dataclasses import replace
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
from tasks.clean.write import OPTIONAL
from tasks.rows.canonical import row_id

_SOMETIMES = tuple(OPTIONAL.names)


class KeyedRow(NamedTuple):
    """A line of the scratch file, and the numbers by which it is compared."""

    row: dict[str, Any]
    key: Key


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

    def build(self, record: Record) -> KeyedRow:
        """The row of a record; or the record with the reason why it leaves.

        For example:

            row, key = RowBuilder(settings).build(record)
            row.get("reason")  # why it leaves, as `empty_turn`; a row that stays has none
        """
        if record.value is None:
            return self._left(record, record.fault or "")
        try:
            content = to_content(
                record.value, self._settings.shape, self._settings.alpaca_instruction, self._settings.columns
            )
            split = assigned_split(record.source.split, record.value)
        except Unusable as unusable:
            if self.notes.unknown_keys is None and unusable.reason in {"unknown_shape", "missing_column"}:
                self.notes.unknown_keys = tuple(map(self.shown, record.value))
            if isinstance(unusable, Ambiguous) and not self.notes.candidates:
                self.notes.candidates = tuple(map(self.shown, unusable.candidates))
            return self._left(record, unusable.reason)
        except ValueError:
            return self._left(record, "unknown_split")
        except RecursionError:
            return self._left(record, "too_deep")
        missed = self.notes.columns.missed(record.value, content)  # first: texts change below
        repaired = repair(content, self._settings.repair) if self._settings.repair else []
        findings = [*content.findings, *repaired]
        try:
            private = self.privacy.scan(content, self.notes.private_rows, self.notes.private_findings)
        except RecursionError:
            return self._left(record, "too_deep")
        if private:
            hidden = [replace(finding, shown=self.privacy.redact_name(finding.shown) or "") for finding in findings]
            findings = [*hidden, *private]
            if gone := next((finding for finding in private if finding.drops), None):
                return self._left(record, gone.name)
        if reason := fault(content):
            return self._left(record, reason)
        findings += self._filters.check(content, record.value)
        if findings and findings[-1].drops:
            return self._left(record, findings[-1].name)
        self.notes.columns.add(record.value, content.shape, missed, f"{record.source.name}:{record.line}")
        return self._row(record, record.value, content, split, findings)

    def _row(
        self, record: Record, value: dict[str, Any], content: Content, split: str | None, findings: list[Finding]
    ) -> KeyedRow:
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
            row["order"] = self._order(value.get(self._settings.order_key), split, record)
        if findings:
            row["found"] = [{"finding": finding.name, "shown": finding.shown} for finding in findings]
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
            split=-1 if split is None else SPLITS.index(split),
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

    def _left(self, record: Record, reason: str) -> KeyedRow:
        return KeyedRow({**self._origin(record), "reason": reason}, Key(left=True))

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
