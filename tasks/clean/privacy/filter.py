"""What becomes of rows with private values: reported, redacted or dropped, by kind, and counted."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from tasks.clean.content import SHOWN, Content, excerpt
from tasks.clean.content import Finding as Found
from tasks.clean.filter_settings import Privacy
from tasks.clean.privacy.finding import KINDS, Finding, Kind
from tasks.clean.privacy.search import REGIONS, find, placeholders, redacted, suspects
from tasks.clean.privacy.walk import Change, changed, changed_text
from tasks.clean.record import Record
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS


class PrivacyFilter:
    """Looks at each row as `clean.privacy` says. Values are never kept or told, only how many there are."""

    def __init__(self, settings: Privacy) -> None:
        """Raises `SettingsError` for a country that has no telephone numbers."""
        from phonenumbers import SUPPORTED_REGIONS

        if unknown := set(settings.phone_regions) - SUPPORTED_REGIONS:
            raise SettingsError(
                f"{PATHS.params}: clean.privacy.phone_regions: {', '.join(sorted(unknown))} is not a country code "
                "with a telephone numbering plan; give two capital letters each, such as US."
            )
        self._actions: dict[Kind, str] = {kind: getattr(settings, kind) for kind in KINDS}
        self._regions = settings.phone_regions
        self._looked = self._of("report", "redact", "drop")
        self._hidden = self._of("redact", "drop")

    def suspects(self, rows: list[Content]) -> list[bool]:
        """Which of the rows `scan` is to look at; it finds nothing in the others."""
        texts = suspects([row.whole() for row in rows])
        return [bool(self._looked) and (suspect or _nested(row)) for row, suspect in zip(rows, texts, strict=True)]

    def scan(self, row: Content, rows: Counter[str], findings: Counter[str]) -> list[Found]:
        """Redact what `row` holds in place; return what was found, by kind, without the values.

        `rows`, `found`: are added to, rows with a value and values, by kind.

        `private_<kind>`, which drops the row where the settings say so, or `redacted_<kind>`. Raises `RecursionError`
        for JSON that is nested too deep.
        """
        if not self._looked or not self._anything(row):
            return []
        values: list[tuple[Kind, str]] = []
        passages: dict[Kind, str] = {}
        _rewrite(row, self._collect(values, self._looked, passages))
        counts = Counter(kind for kind, _ in values)
        findings.update(counts)
        rows.update(set(counts))
        kinds = self._of("redact")
        if any(counts[kind] for kind in kinds):
            _rewrite(row, self._redact(placeholders(values), kinds))
        return [self._found(kind, passages[kind]) for kind in KINDS if counts[kind]]

    def raw(self, record: Record) -> str:
        """The record as text for those that leave, for whatever reason: without values that are redacted or dropped."""
        kinds = self._hidden
        if not kinds:
            return record.raw
        if record.value is None:
            text = record.text or ""
            return replace(record, text=redacted(text, find(text, kinds, self._regions))).raw
        try:
            values: list[tuple[Kind, str]] = []
            changed(record.value, self._collect(values, kinds))
            if not values:
                return record.raw
            value = changed(record.value, self._redact(placeholders(values), kinds))
        except RecursionError:
            return redacted(record.raw, find(record.raw, kinds, self._regions))
        return replace(record, value=value, text=None).raw

    def redact_name(self, name: str | None) -> str | None:
        """The name that a row gives to its source or slice, without values that are redacted or dropped."""
        return redacted(name, find(name, self._hidden, self._regions)) if name and self._hidden else name

    def counts(self, rows: Counter[str], findings: Counter[str]) -> dict[str, dict[str, Any]]:
        """By kind: what was done, the `rows` that it was found in, and how often it was `found`."""
        return {
            kind: {"action": action, "rows": rows[kind], "findings": findings[kind]}
            for kind, action in self._actions.items()
            if action != "off"
        }

    def _found(self, kind: Kind, text: str) -> Found:
        """What is told of a kind: the passage around its first value, with no value in it."""
        safe = redact_all(text)
        at = max(0, safe.find(f"[{kind}") - SHOWN // 2)
        name = f"redacted_{kind}" if self._actions[kind] == "redact" else f"private_{kind}"
        return Found(name, excerpt(safe[at:]), drops=self._actions[kind] == "drop")

    def _of(self, *actions: str) -> tuple[Kind, ...]:
        return tuple(kind for kind in KINDS if self._actions[kind] in actions)

    def _anything(self, row: Content) -> bool:
        """Whether it is worth to look at the row text by text: most rows are done with in one search."""
        return _nested(row) or bool(find(row.whole(), self._looked, self._regions))

    def _collect(
        self, values: list[tuple[Kind, str]], kinds: tuple[Kind, ...], passages: dict[Kind, str] | None = None
    ) -> Change:
        def change(text: str, key: str) -> str:
            for one in _found(text, key, kinds, self._regions):
                values.append((one.kind, text[one.start : one.end]))
                if passages is not None:
                    passages.setdefault(one.kind, f"{key}: {text}" if key else text)
            return text

        return change

    def _redact(self, names: dict[str, str], kinds: tuple[Kind, ...]) -> Change:
        return lambda text, key: redacted(text, _found(text, key, kinds, self._regions), names)


def _nested(row: Content) -> bool:
    """Whether it holds more than plain texts: tools, calls, or JSON, which are looked at part by part."""
    return row.tools is not None or any(turn["extra"] or turn["content"][:1] in ("{", "[") for turn in row.turns())


def redact_all(text: str) -> str:
    """`text` without private values of any kind, for pages and profiles."""
    try:
        return changed_text(text, lambda part, key: redacted(part, _found(part, key)))
    except RecursionError:
        return redacted(text, find(text))


def _found(text: str, key: str, kinds: tuple[Kind, ...] = KINDS, regions: tuple[str, ...] = REGIONS) -> list[Finding]:
    """Findings in `text`, with the key that it stands under before it."""
    before = f"{key}: " if 0 < len(key) <= 64 else ""
    findings = find(before + text, kinds, regions)
    if before and not findings and "secret" in kinds and not any(letter.isspace() for letter in text):
        findings = find(before + _MARKS.sub("-", text), _SECRET)  # it is all value: no mark in it ends it
    shift = len(before)
    return [Finding(one.start - shift, one.end - shift, one.kind) for one in findings if one.start >= shift]


_SECRET: tuple[Kind, ...] = ("secret",)
_MARKS = re.compile(r"[\"'`,;&|]")


def _rewrite(row: Content, change: Change) -> None:
    """Change every text of the row: what is said, what turns have beside it, the definitions of tools."""
    if row.text is not None:
        row.text = changed_text(row.text, change)
    for turn in row.turns():
        turn["content"] = changed_text(turn["content"], change)
        if turn["extra"]:
            turn["extra"] = changed_text(turn["extra"], change)
    if row.tools is not None:
        row.tools = changed_text(row.tools, change)
