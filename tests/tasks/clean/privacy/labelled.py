"""Texts whose private values are marked, and the measure of what is found in them.

`⟦kind:value⟧` marks a value, `⟦kind=form⟧` one that is made here (keys, cards and account numbers, so that none stands
in the repository), `⟦=form⟧` one that is made and harmless. `held_out.jsonl` was written before anything was tuned,
and is not looked at when it is.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.tasks.clean.privacy import values

PARTS = ("tuning", "held_out")

_MARK = re.compile(r"⟦(\w*)([:=])(.*?)⟧", re.DOTALL)

Span = tuple[int, int, str]
"""Start and end (characters) and kind of a value."""


@dataclass(frozen=True)
class Labelled:
    """A text and where its private values stand."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Score:
    """Precision and recall of one kind."""

    labels: int
    """Values that are in the texts."""
    covered: int
    """Of them those that a finding of the kind covers from end to end."""
    findings: int
    """Findings of the kind."""
    right: int
    """Of them those that touch a value of the kind."""

    @property
    def recall(self) -> float:
        """Share of the values that are found, 0 to 1."""
        return self.covered / self.labels if self.labels else 1.0

    @property
    def precision(self) -> float:
        """Share of the findings that are right, 0 to 1."""
        return self.right / self.findings if self.findings else 1.0


def load(part: str) -> list[Labelled]:
    """The texts of `part`, each value made from the number of its line."""
    lines = (Path(__file__).parent / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_read(json.loads(line)["text"], random.Random(f"{part} {number}")) for number, line in enumerate(lines)]


def measure(texts: Iterable[Labelled], find: Callable[[str], Iterable[Span]]) -> dict[str, Score]:
    """Precision and recall of `find` by kind."""
    counts: dict[str, Counter[str]] = {}
    for labelled in texts:
        findings = list(find(labelled.text))
        for start, end, kind in labelled.spans:
            count = counts.setdefault(kind, Counter())
            count["labels"] += 1
            count["covered"] += any(kind == other and first <= start and end <= last for first, last, other in findings)
        for start, end, kind in findings:
            count = counts.setdefault(kind, Counter())
            count["findings"] += 1
            count["right"] += any(
                kind == other and first < end and start < last for first, last, other in labelled.spans
            )
    names = ("labels", "covered", "findings", "right")
    return {kind: Score(*(counts[kind][name] for name in names)) for kind in sorted(counts)}


def _read(marked: str, source: random.Random) -> Labelled:
    text, spans, end = "", [], 0
    for mark in _MARK.finditer(marked):
        text += marked[end : mark.start()]
        kind, how, what = mark.groups()
        value = values.random_value(what, source) if how == "=" else what
        if kind:
            spans.append((len(text), len(text) + len(value), kind))
        text += value
        end = mark.end()
    return Labelled(text + marked[end:], tuple(spans))
