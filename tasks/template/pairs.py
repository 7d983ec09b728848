"""What only all preferences together tell: whether length is preferred, and whether they contradict each other."""

import re
from collections import Counter
from hashlib import blake2b
from typing import Any

from tasks.rows.canonical import Message
from tasks.template.findings import EXAMPLES, Findings
from tasks.template.outcome import Outcome

BIASED = 0.65
"""Share of pairs with the longer answer chosen above which length is what is learned, where chance (two standard
deviations of as many fair coins) does not explain it."""

SHORT = 5
"""Characters below which an answer is hardly one."""

_REFUSAL = re.compile(r"\s*(?:i'?m sorry|sorry,|i (?:can(?:no|')t|am unable|won't)|as an ai\b)", re.IGNORECASE)


class Pairs:
    """What only all preferences together tell: whether the longer answer is preferred, and whether they contradict."""

    def __init__(self) -> None:
        self.pairs = self.longer = 0
        self.ratios = 0.0
        self._better: dict[bytes, tuple[bytes, ...]] = {}
        """By the hash of an answer, with its prompt, those of the answers that it is better than: never in a circle."""
        self._labels: dict[bytes, bool] = {}
        self._such: list[str] = []
        self.labels: Counter[bool | None] = Counter()
        self._judged: list[str] = []

    def add(self, outcome: Outcome, findings: Findings) -> None:
        """Note a pair that goes on."""
        chosen, rejected = (part.tokens[outcome.prompt :] for part in outcome.sequences)
        self.pairs += 1
        if len(chosen) > len(rejected):
            self.longer += 1
            self._such += [outcome.id] * (len(self._such) < EXAMPLES)
        self.ratios += len(chosen) / max(1, len(rejected))
        prompt = outcome.sequences[0].tokens[: outcome.prompt]
        self._compare(_answer(prompt, chosen), _answer(prompt, rejected), outcome.id, findings)

    def _compare(self, better: bytes, worse: bytes, row: str, findings: Findings) -> None:
        """Note that one answer is better than another, unless it was worse until now, itself or by way of others."""
        known = self._better.get(better, ())
        if worse in known:
            return
        if better in self._better.get(worse, ()):
            findings.add("contradiction", row)
        elif self._leads(worse, better):
            findings.add("circle", row)
        else:
            self._better[better] = (*known, worse)

    def _leads(self, start: bytes, end: bytes) -> bool:
        """Whether one answer is better than another by way of others."""
        waiting, seen = [start], {start}
        while waiting:
            for worse in self._better.get(waiting.pop(), ()):
                if worse == end:
                    return True
                if worse not in seen:
                    seen.add(worse)
                    waiting.append(worse)
        return False

    def add_judged(self, outcome: Outcome, findings: Findings) -> None:
        """Note a judged answer that goes on."""
        self.labels[outcome.label] += 1
        if len(self._judged) < EXAMPLES:
            self._judged.append(outcome.id)
        tokens, prompt = outcome.sequences[0].tokens, outcome.prompt
        if self._labels.setdefault(_answer(tokens[:prompt], tokens[prompt:]), bool(outcome.label)) != outcome.label:
            findings.add("contradiction", outcome.id)

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


def flipped(chosen: list[Message], rejected: list[Message]) -> bool:
    """Whether the chosen answer is empty, a few letters, or a refusal, and the rejected one is none of these."""
    return _is_poor(chosen) and not _is_poor(rejected)


def alike(first: str, second: str) -> bool:
    """Whether two texts differ in space and in capital letters only."""
    return "".join(first.casefold().split()) == "".join(second.casefold().split())


def _is_poor(answer: list[Message]) -> bool:
    text = str(answer[-1]["content"]) if answer else ""
    calls = bool(answer) and bool(answer[-1].get("tool_calls"))
    return not calls and (len(text.strip()) < SHORT or bool(_REFUSAL.match(text)))


def _answer(prompt: Any, answer: Any) -> bytes:
    """What stands for an answer to a prompt, both arrays of token ids: a hash of eight bytes."""
    digest = blake2b(len(prompt).to_bytes(8, "little"), digest_size=8)
    digest.update(prompt.tobytes())
    digest.update(answer.tobytes())
    return digest.digest()
