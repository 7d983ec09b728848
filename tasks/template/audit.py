"""The account of a templating: rows and tokens that add up, what was found, and how long rows are."""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.contract.files import fingerprint
from tasks.contract.ledger import Ledger
from tasks.template.checks import CHECKS, WANTED, Check
from tasks.template.encode import Encoder
from tasks.template.lengths import summary
from tasks.template.outcome import Outcome

EXAMPLES = 5
"""Rows named for each finding."""

BIASED = 0.65
"""Share of pairs with the longer answer chosen above which length is what is learned, where chance (two standard
deviations of as many fair coins) does not explain it."""

SHORT = 5
"""Characters below which an answer is hardly one."""

_REFUSAL = re.compile(r"\s*(?:i'?m sorry|sorry,|i (?:can(?:no|')t|am unable|won't)|as an ai\b)", re.IGNORECASE)


@dataclass
class Findings:
    """How many rows each check applies to, and some of them."""

    rows: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    details: dict[str, str] = field(default_factory=dict)
    """What one row of the check has to say about it."""

    def add(self, slug: str, row: str, detail: str | None = None) -> None:
        """Note that a check applies to a row."""
        self.rows[slug] += 1
        if len(self.examples[slug]) < EXAMPLES:
            self.examples[slug].append(row)
        if detail:
            self.details.setdefault(slug, detail)

    def as_list(self, known: Mapping[str, Check] = CHECKS) -> list[dict[str, Any]]:
        """`{"check", "severity", "rows", "examples", "message"}` each, in the order of the checks that are known."""
        found = []
        for slug, check in known.items():
            if self.rows[slug]:
                detail = f" ({self.details[slug]})" if slug in self.details else ""
                found.append(
                    {
                        "check": slug,
                        "severity": check.severity,
                        "rows": self.rows[slug],
                        "examples": self.examples[slug],
                        "message": check.meaning + detail,
                    }
                )
        return found


class Pairs:
    """What only all preferences together tell: whether the longer answer is preferred, and whether they contradict."""

    def __init__(self) -> None:
        self.pairs = self.longer = 0
        self.ratios = 0.0
        self._seen: dict[bytes, bool] = {}
        self._such: list[str] = []
        self.labels: Counter[bool | None] = Counter()
        self._judged: list[str] = []

    def add(self, found: Outcome, findings: Findings) -> None:
        """Note a pair that goes on."""
        chosen, rejected = (part.ids[found.prompt :] for part in found.sequences)
        self.pairs += 1
        if len(chosen) > len(rejected):
            self.longer += 1
            self._such += [found.id] * (len(self._such) < EXAMPLES)
        self.ratios += len(chosen) / max(1, len(rejected))
        both = sorted((chosen, rejected))
        key = bytes.fromhex(fingerprint([found.sequences[0].ids[: found.prompt], both])[:16])
        if self._seen.setdefault(key, both[0] == chosen) != (both[0] == chosen):
            findings.add("contradiction", found.id)

    def add_judged(self, found: Outcome, findings: Findings) -> None:
        """Note a judged answer that goes on."""
        self.labels[found.label] += 1
        if len(self._judged) < EXAMPLES:
            self._judged.append(found.id)
        key = bytes.fromhex(fingerprint([found.prompt, found.sequences[0].ids])[:16])
        if self._seen.setdefault(key, bool(found.label)) != found.label:
            findings.add("contradiction", found.id)

    def judge(self, findings: Findings) -> None:
        """Note a preference for length, and judgements that are all the same."""
        if len(self.labels) == 1 and self.labels.total() > 1:
            findings.rows["one_label"] = self.labels.total()
            findings.examples["one_label"] = self._judged
        if self.longer > max(BIASED * self.pairs, self.pairs / 2 + self.pairs**0.5):
            findings.rows["length_bias"] = self.longer
            findings.examples["length_bias"] = self._such
            findings.details["length_bias"] = (
                f"{self.longer} of {self.pairs} pairs; the chosen answer has {self.ratios / self.pairs:.2f} times the "
                "tokens on average"
            )

    def as_dict(self) -> dict[str, Any]:
        """Counts, and the mean ratio of lengths, chosen to rejected."""
        mean = round(self.ratios / self.pairs, 4) if self.pairs else None
        return {"pairs": self.pairs, "chosen_longer": self.longer, "mean_length_ratio": mean}


@dataclass
class Account:
    """One split: rows and tokens that came, were trained, masked, cut, or left with a reason."""

    name: str
    rows: Ledger = field(default_factory=Ledger)
    tokens: Ledger = field(default_factory=lambda: Ledger(unit="tokens"))
    answers: Ledger = field(default_factory=lambda: Ledger(unit="answer tokens"))
    repeated: int = 0
    """Tokens that parts of a row repeat: its system prompt, what stood before a turn. Counted as having come."""
    lengths: "array[int]" = field(default_factory=lambda: array("i"))
    """Tokens of each row or part that is trained."""
    came: "array[int]" = field(default_factory=lambda: array("i"))
    """Tokens of each row that came."""
    trained: Counter[str] = field(default_factory=Counter)
    """Rows, tokens and supervised tokens of `sequence`s, and rows of the other kinds."""
    cut: int = 0
    """Rows that were shortened or split."""
    long: list[str] = field(default_factory=list)
    """Some of the rows that were too long."""
    refused: list[str] = field(default_factory=list)
    """Some of the rows that failed another check."""
    findings: Findings = field(default_factory=Findings)
    pairs: Pairs = field(default_factory=Pairs)
    controls: Counter[int] = field(default_factory=Counter)
    """Control tokens of what is trained, and how often they stand there."""

    def add(self, found: Outcome) -> dict[str, Any] | None:
        """Account for a row; returns what `truncated.parquet` says of it where it leaves or was cut."""
        for slug in found.notes:
            self.findings.add(slug, found.id, found.detail if slug in ("unrenderable", "coverage", "history") else None)
        self.rows.came += 1
        self.came.append(found.tokens)
        if found.reason:
            self._leave(found)
        else:
            self._go_on(found)
        if not found.reason and not found.cut:
            return None
        self.cut += found.reason is None
        examples = self.long if found.reason in (None, "too_long") else self.refused
        if len(examples) < EXAMPLES and found.reason not in WANTED:
            examples.append(f"{found.id} with {found.tokens}")
        return _lost(found, self.name)

    def count(self, encoder: Encoder, outcomes: list[Outcome]) -> None:
        """Count the control tokens of rows that go on."""
        for found in outcomes:
            if not found.reason:
                for part in found.sequences:
                    self.controls.update(part.ids[place] for place in encoder.of(part.ids))

    def _leave(self, found: Outcome) -> None:
        reason = str(found.reason)
        self.rows.left[reason] += 1
        for ledger, count in ((self.tokens, found.tokens), (self.answers, found.answers)):
            ledger.came += count
            ledger.left[reason] += count

    def _go_on(self, found: Outcome) -> None:
        after, trained = found.length, found.trained
        self.rows.outs[self.name] += 1
        self.repeated += max(0, after - found.tokens)
        self.tokens.came += max(found.tokens, after)
        self.tokens.outs["trained"] += trained
        self.tokens.outs["masked"] += after - trained
        self.answers.came += max(found.answers, trained)
        self.answers.outs["trained"] += trained
        if found.tokens > after:
            self.tokens.left[f"cut_{found.cut}"] += found.tokens - after
        if found.answers > trained:
            self.answers.left[f"cut_{found.cut}"] += found.answers - trained
        if found.kind == "sequence":
            self.trained.update(rows=len(found.sequences), tokens=after, supervised_tokens=trained)
            self.lengths.extend(len(part.ids) for part in found.sequences)
        else:
            self.trained[found.kind] += 1
            self.lengths.append(max(len(part.ids) for part in found.sequences))
            if found.kind == "preference":
                self.pairs.add(found, self.findings)
            else:
                self.pairs.add_judged(found, self.findings)

    def as_dict(self, known: Mapping[str, Check] = CHECKS) -> dict[str, Any]:
        """What `audit.json` says of the split; `known`: the checks that findings may name."""
        self.pairs.judge(self.findings)
        return {
            "rows": self.rows.as_dict(),
            "tokens": self.tokens.as_dict(),
            "answer_tokens": self.answers.as_dict(),
            "repeated_tokens": self.repeated,
            "trained": {name: self.trained[name] for name in ("rows", "tokens", "supervised_tokens")},
            "preferences": self.pairs.as_dict(),
            "judged": self.trained["judged"],
            "lengths": summary(self._array(self.lengths)),
            "lengths_before": summary(self._array(self.came)),
            "findings": self.findings.as_list(known),
        }

    @staticmethod
    def _array(values: "array[int]") -> Any:
        import numpy as np

        return np.frombuffer(values, dtype=np.intc) if values else np.zeros(0, np.intc)


def flipped(chosen: str, rejected: str) -> bool:
    """Whether the chosen answer is empty, a few letters, or a refusal, and the rejected one is none of these."""
    return _is_poor(chosen) and not _is_poor(rejected)


def _is_poor(answer: str) -> bool:
    return len(answer.strip()) < SHORT or bool(_REFUSAL.match(answer))


def _lost(found: Outcome, split: str) -> dict[str, Any]:
    stopped = all(part.runs and part.runs[-1][1] <= len(part.ids) for part in found.sequences) and found.cut != "answer"
    return {
        "id": found.id,
        "split": split,
        "reason": found.reason or "cut",
        "part": found.cut if not found.reason else "row",
        "tokens": found.tokens,
        "tokens_after": 0 if found.reason else found.length,
        "answer_tokens": found.answers,
        "supervised_tokens_after": 0 if found.reason else found.trained,
        "stop_kept": not found.reason and stopped,
    }
