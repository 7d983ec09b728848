"""One record to one row: its content, repaired and checked, and the numbers by which it is compared with others."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from tasks.clean import keys
from tasks.clean.checks import fault
from tasks.clean.content import Content, Finding, Unusable
from tasks.clean.duplicates import normalised
from tasks.clean.privacy.step import Step
from tasks.clean.quality import Steps
from tasks.clean.record import Record
from tasks.clean.repair import repair
from tasks.clean.settings import Settings
from tasks.clean.shapes import content
from tasks.clean.split import SPLITS, given
from tasks.clean.write import SOMETIMES
from tasks.rows.canonical import row_id

_SOMETIMES = tuple(SOMETIMES.names)

Made = tuple[dict[str, Any], tuple[int, ...]]
"""A line of the scratch file, and the numbers of `keys.KEY`."""


class Maker:
    """Makes rows by the settings, and counts what shapes they came in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._steps = Steps(settings.quality)
        self.privacy = Step(settings.privacy)
        self.shapes: Counter[str] = Counter()
        self.sometimes: set[str] = set()
        """Columns that some row has."""
        self.strange: tuple[str, ...] | None = None
        """Keys of the first row of no known shape."""
        self.keyed: set[str] = set()
        """Keys of the settings `group` and `stratify` that some row has."""

    def made(self, record: Record) -> Made:
        """The row of a record; or the record with the reason why it leaves."""
        if record.value is None:
            return self._left(record, record.fault or "")
        try:
            found = content(
                record.value, self._settings.shape, self._settings.alpaca_instruction, self._settings.columns
            )
            split = given(record.source.split, record.value)
        except Unusable as unusable:
            if self.strange is None and unusable.reason in {"unknown_shape", "missing_column"}:
                self.strange = tuple(self.privacy.named(_named(key)) or "" for key in record.value)
            return self._left(record, unusable.reason)
        except ValueError:
            return self._left(record, "unknown_split")
        except RecursionError:
            return self._left(record, "too_deep")
        findings = repair(found, self._settings.repair) if self._settings.repair else []
        try:
            private = self.privacy.look(found)
        except RecursionError:
            return self._left(record, "too_deep")
        if private:
            hidden = [replace(finding, shown=self.privacy.named(finding.shown) or "") for finding in findings]
            findings = [*hidden, *private]
            if gone := next((finding for finding in private if finding.drops), None):
                return self._left(record, gone.name)
        if reason := fault(found):
            return self._left(record, reason)
        findings += self._steps.found(found, record.value)
        if findings and findings[-1].drops:
            return self._left(record, findings[-1].name)
        self.shapes[found.shape] += 1
        return self._row(record, record.value, found, split, findings)

    def _row(
        self, record: Record, value: dict[str, Any], found: Content, split: str | None, findings: list[Finding]
    ) -> Made:
        more = {name: kept for name in _SOMETIMES if (kept := getattr(found, name)) is not None}
        self.sometimes.update(more)
        source = self.privacy.named(_named(value.get("source"))) or record.source.name
        name, turns = row_id(source, found.identity()), [normalised(turn) for turn in found.request()]
        row = {
            **self._place(record),
            "id": name,
            "source": source,
            "slice": self.privacy.named(_named(value.get("slice"))),
            "request": (request := " ".join(turns)),
            "whole": found.whole(),
            "messages": found.messages,
            "text": found.text,
            **more,
        }
        if findings:
            row["found"] = [{"finding": finding.name, "shown": finding.shown} for finding in findings]
        asked, group = keys.number(request), self._settings.group
        self.keyed.update(key for key in (group, self._settings.stratify) if key and value.get(key) is not None)
        return row, (
            int(name, 16),
            keys.number(_identity(found, turns)),
            asked,
            (_number(value.get(group)) if group else 0) or asked,
            self._stratum(value, source),
            len(found.answer()),
            -1 if split is None else SPLITS.index(split),
            record.source.part,
            found.messages is not None,
            False,
        )

    def _left(self, record: Record, reason: str) -> Made:
        return {**self._place(record), "reason": reason}, (0, 0, 0, 0, 0, 0, -1, -1, False, True)

    def _place(self, record: Record) -> dict[str, Any]:
        return {"file": record.source.name, "line": record.line, "row": self.privacy.raw(record)}

    def _stratum(self, value: dict[str, Any], source: str) -> int:
        key = self._settings.stratify
        return 0 if key is None else _number(source if key == "source" else value.get(key))


def _named(given: Any) -> str | None:
    """A name that a row gives, in valid Unicode; None where it gives none."""
    return given.encode("utf-8", "backslashreplace").decode() if isinstance(given, str) and given else None


def _number(given: Any) -> int:
    """The number of any value; 0 of none."""
    return 0 if given is None else keys.number(json.dumps(given, sort_keys=True, default=str))


def _identity(found: Content, turns: list[str]) -> str:
    """What two rows share when they are duplicates; answers count exactly, for case can matter in them.

    `turns`: what is asked, turn by turn, normalised.
    """
    if found.text is not None:
        return f"text {turns[0]}"
    asked, part_asked = iter(turns), found.asked()
    said = [found.tools or "", repr(found.label)]
    for part in found.parts():
        said.append(str(len(part)))
        for turn in part:
            text = next(asked) if part is part_asked and turn["role"] == "user" else turn["content"]
            said += (turn["role"], text, turn["extra"] or "")
    return "\0".join(said)
