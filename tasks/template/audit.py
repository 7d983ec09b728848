"""The account of a templating: rows and tokens that add up, what was found, and how long rows are."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.rows.ledger import Ledger
from tasks.template import reasoning
from tasks.template.checks import CHECKS, REQUESTED, Check
from tasks.template.encode import Encoder
from tasks.template.findings import EXAMPLES, Findings
from tasks.template.lengths import summary
from tasks.template.outcome import Outcome
from tasks.template.pairs import Pairs

NAMED = 10
"""Characters that are named."""


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
    reasoning: Counter[str] = field(default_factory=Counter)
    """Turns to be trained that have reasoning, by what became of it."""

    def add(self, outcome: Outcome) -> dict[str, Any] | None:
        """Account for a row; returns what `truncated.parquet` says of it where it leaves or was cut."""
        for slug in outcome.notes:
            detail = outcome.detail if slug in ("unrenderable", "coverage", "history") else None
            detail = outcome.unread if slug == "unread_key" else detail
            detail = named(outcome.lost) if slug == "unknown" else detail
            self.findings.add(slug, outcome.id, detail)
        self.rows.came += 1
        if outcome.reasoning:
            self.reasoning.update(outcome.reasoning)
        self.came.append(outcome.most or outcome.tokens)
        if outcome.reason:
            self._leave(outcome)
        else:
            self._go_on(outcome)
        if not outcome.reason and not outcome.cut:
            return None
        self.cut += outcome.reason is None and outcome.cut != "windows"  # which hold every token of a text
        examples = self.long if outcome.reason in (None, "too_long") else self.refused
        if len(examples) < EXAMPLES and outcome.reason not in REQUESTED:
            examples.append(f"{outcome.id} with {outcome.most or outcome.tokens}")
        return _lost(outcome, self.name)

    def count(self, encoder: Encoder, outcomes: list[Outcome]) -> None:
        """Count the control tokens of rows that go on."""
        going = [part.tokens for outcome in outcomes if not outcome.reason for part in outcome.sequences]
        if going:
            tokens = np.concatenate(going)
            self.controls.update(tokens[encoder.control_positions(tokens)].tolist())

    def _leave(self, outcome: Outcome) -> None:
        reason = str(outcome.reason)
        self.rows.left[reason] += 1
        for ledger, count in ((self.tokens, outcome.tokens), (self.answers, outcome.answers)):
            ledger.came += count
            ledger.left[reason] += count

    def _go_on(self, outcome: Outcome) -> None:
        after, trained = outcome.length, outcome.trained
        self.rows.outs[self.name] += 1
        self.repeated += max(0, after - outcome.tokens)
        self.tokens.came += max(outcome.tokens, after)
        self.tokens.outs["trained"] += trained
        self.tokens.outs["masked"] += after - trained
        self.answers.came += max(outcome.answers, trained)
        self.answers.outs["trained"] += trained
        if outcome.tokens > after:
            self.tokens.left[f"cut_{outcome.cut}"] += outcome.tokens - after
        if outcome.answers > trained:
            self.answers.left[f"cut_{outcome.cut}"] += outcome.answers - trained
        if outcome.kind == "sequence":
            self.trained["rows"] += len(outcome.sequences)
            self.trained["tokens"] += after
            self.trained["supervised_tokens"] += trained
            self.lengths.extend(tokens for part in outcome.sequences for tokens in part.lengths)
        else:
            self.trained[outcome.kind] += 1
            self.lengths.append(max(len(part) for part in outcome.sequences))
            if outcome.kind == "preference":
                self.pairs.add(outcome, self.findings)
            else:
                self.pairs.add_judged(outcome, self.findings)

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
            "reasoning": reasoning.summary(self.reasoning),
            "lengths": summary(self._array(self.lengths)),
            "lengths_before": summary(self._array(self.came)),
            "findings": self.findings.as_list(known),
            "trained_errors": self.findings.trained_errors(),
        }

    @staticmethod
    def _array(values: "array[int]") -> Any:
        return np.frombuffer(values, dtype=np.intc) if values else np.zeros(0, np.intc)


def named(characters: str) -> str | None:
    """Characters with their code points, some of them where there are many: `'ß' (U+00DF)`; None for none."""
    shown = [f"{character!r} (U+{ord(character):04X})" for character in characters[:NAMED]]
    more = f" and {len(characters) - NAMED:,} more" if len(characters) > NAMED else ""
    return f"{', '.join(shown)}{more}" if shown else None


def _lost(outcome: Outcome, split: str) -> dict[str, Any]:
    stopped = all(part.runs and part.runs[-1][1] <= len(part) for part in outcome.sequences) and outcome.cut != "answer"
    return {
        "id": outcome.id,
        "split": split,
        "reason": outcome.reason or "cut",
        "part": outcome.cut if not outcome.reason else "row",
        "tokens": outcome.tokens,
        "tokens_after": 0 if outcome.reason else outcome.length,
        "answer_tokens": outcome.answers,
        "supervised_tokens_after": 0 if outcome.reason else outcome.trained,
        "stop_kept": not outcome.reason and stopped,
    }
