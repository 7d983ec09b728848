"""What makes an answer useless whatever it was asked, and how much a set of rows repeats itself."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from tasks.dedup.similarity import words
from tasks.teacher.request import Response

REFUSALS = re.compile(
    r"""^\W*(?:(?:i['\u2019]?m|i\ am)\ (?:very\ |really\ |so\ )?(?:sorry|afraid)\b.{0,60}?\b
            (?:can['\u2019]?t|cannot|can\ not|unable|not\ able|won['\u2019]?t|don['\u2019]?t\ have)
        |sorry,?\ (?:but\ )?(?:i|we)\ (?:can['\u2019]?t|cannot|am\ unable|won['\u2019]?t)
        |i\ (?:can['\u2019]?t|cannot|can\ not|won['\u2019]?t|am\ (?:unable|not\ able)\ to|must\ decline\ to)\ 
            (?:assist|help|comply|provide|fulfil+|answer|do\ that|discuss|create|generate|engage|support)
        |as\ an\ (?:ai|artificial)\b.{0,80}?\b(?:can['\u2019]?t|cannot|unable|don['\u2019]?t|do\ not)
        |i\ (?:apologi[sz]e|regret).{0,60}?\b(?:can['\u2019]?t|cannot|unable))""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""How a refusal begins, in English."""

SAMPLE = 20_000
"""Rows on which diversity is measured: the first ones, so that memory stays bounded."""


def rejection_reason(response: Response | None, limit: int, asked: str = "") -> str | None:
    """Why a response is of no use, or None. `limit`: tokens that it might have; `asked`: the question it answers.

    Reasons: `budget`, `no_answer`, `truncated`, `refusal`, `echo`.
    """
    if response is None:
        return "budget"
    if response.failed is not None:
        return "no_answer"
    if response.finish_reason == "content_filter":
        return "refusal"
    if response.is_truncated(limit):
        return "truncated"
    if not response.text.strip() and not response.tool_calls:
        return "no_answer"
    if REFUSALS.match(response.text):
        return "refusal"
    return "echo" if asked and echoes(asked, response.text) else None


def echoes(asked: str, answer: str) -> bool:
    """Whether the answer only repeats the question, or begins by repeating all of it (four words or more)."""
    question, answered = words(asked), words(answer)
    if not answered:
        return False
    text, spoken = f" {' '.join(question)} ", f" {' '.join(answered)} "
    if len(answered) > 3 and spoken in text:
        return True
    return question == answered or (len(question) > 3 and spoken.startswith(text))


def near_duplicates(
    outcomes: Callable[[], Iterator[dict[str, Any]]], threshold: float, scratch: Path, seed: int
) -> set[int]:
    """Numbers of the kept outcomes whose question is nearly that of an earlier kept one."""
    from tasks.dedup.near import clusters

    kept = [number for number, outcome in enumerate(outcomes()) if outcome["reason"] is None]
    texts = (outcome["asks"] for outcome in outcomes() if outcome["reason"] is None)
    first = clusters(_batches(texts), threshold, scratch=scratch, seed=seed, threads=1)
    return {number for position, number in enumerate(kept) if first[position] != position}


def _batches(texts: Iterator[str], size: int = 10_000) -> Iterator[list[str]]:
    while batch := [text.encode(errors="replace").decode() for text in islice(texts, size)]:
        yield batch


class Diversity:
    """How varied questions and answers are, on the first rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._pairs: dict[str, Counter[tuple[str, str]]] = {"questions": Counter(), "answers": Counter()}
        self._openings: Counter[str] = Counter()
        self._words: Counter[str] = Counter()

    def add(self, asks: str, answers: str) -> None:
        """Count one row."""
        if self._rows == SAMPLE:
            return
        self._rows += 1
        for what, text in (("questions", asks), ("answers", answers)):
            text_words = words(text)
            self._words[what] += len(text_words)
            self._pairs[what].update(pairwise(text_words))
        self._openings[" ".join(words(asks)[:3])] += 1

    def facts(self) -> dict[str, Any]:
        """Rows looked at, mean words, share of word pairs that differ, and how often the commonest opening opens."""
        if not self._rows:
            return {"rows": 0}
        facts: dict[str, Any] = {"rows": self._rows}
        for what, pairs in self._pairs.items():
            facts[what] = {
                "mean_words": round(self._words[what] / self._rows, 2),
                "distinct_pairs": round(len(pairs) / max(pairs.total(), 1), 4),
            }
        opening, times = min(self._openings.items(), key=lambda item: (-item[1], item[0]))
        return {**facts, "commonest_opening": opening, "commonest_opening_share": round(times / self._rows, 4)}
