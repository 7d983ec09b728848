"""The steps of `clean.quality` over one row: what each finds, and whether the row leaves for it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tasks.clean import measures
from tasks.clean.content import Content, Finding, excerpt
from tasks.clean.filter_settings import Language, Length, Quality, Repetition
from tasks.clean.language import known_languages, language
from tasks.clean.refusals import is_boilerplate, is_refusal
from tasks.clean.repair import garbled_at
from tasks.core.errors import SettingsError

FINISH = "finish_reason"
"""Key of a row, or of its last message, with what the service called the end of the generation."""

MEASURED = 100_000
"""Characters of a text in which repetition is looked for; what it takes in memory goes with them."""


@dataclass(slots=True)
class Sample:
    """What the steps look at."""

    content: Content
    exchanges: list[tuple[str, str]]
    """Questions, and the answers that are to be learned."""
    finish_reason: str | None

    def texts(self) -> list[str]:
        """Every text."""
        return _texts(self.content.text, [turn["content"] for turn in self.content.turns()])

    def learned(self) -> list[str]:
        """What is to be learned: the text, or the answers."""
        return _texts(self.content.text, [answer for _, answer in self.exchanges])


def _texts(text: str | None, others: list[str]) -> list[str]:
    return others if text is None else [text, *others]


Hit = tuple[str, str] | None
"""The name of a fault and the passage that shows it."""


class Filters:
    """The steps that are switched on, in the order in which a row leaves for one of them."""

    def __init__(self, settings: Quality) -> None:
        """Raises `SettingsError` for a language that cannot be identified."""
        share = settings.echo.share
        every: list[tuple[str, Callable[[Sample], Hit]]] = [
            (settings.row.action, partial(_row, settings.row)),
            (settings.answer.action, partial(_answer, settings.answer)),
            (settings.garbled, _garbled),
            (settings.language.action, partial(_language, settings.language)),
            (settings.truncated, _truncated),
            (settings.refusal, partial(_without_tools, "refusal", lambda _, answer: is_refusal(answer))),
            (settings.boilerplate, partial(_without_tools, "boilerplate", is_boilerplate)),
            (settings.echo.action, partial(_exchange, "echo", lambda *both: measures.echoed(*both) >= share)),
            (settings.repetition.action, partial(_repetition, settings.repetition)),
        ]
        self._filters = [(action == "drop", step) for action, step in every if action != "off"]
        if settings.language.action != "off" and (unknown := sorted(set(settings.language.wanted) - known_languages())):
            raise SettingsError(
                f"clean.quality.language.wanted: unknown language code {', '.join(unknown)}; known: "
                f"{', '.join(sorted(known_languages()))}."
            )

    def check(self, content: Content, value: dict[str, Any]) -> list[Finding]:
        """What the steps find in a row; where it leaves, the reason is the last one. `value`: the record as it came."""
        if not self._filters:
            return []
        sample = Sample(content, list(content.exchanges()), _finish_reason(content, value))
        findings = []
        for drops, step in self._filters:
            if hit := step(sample):
                findings.append(Finding(*hit, drops))
                if drops:
                    break
        return findings


def _finish_reason(content: Content, value: dict[str, Any]) -> str | None:
    """What the service said of the answer that is to be learned."""
    last = content.messages or content.chosen or content.completion
    reason = value.get(FINISH) if content.label is not False else None
    if reason is None and last and FINISH in (extra := last[-1]["extra"] or ""):
        reason = json.loads(extra).get(FINISH)
    return reason if isinstance(reason, str) else None


def _row(limits: Length, sample: Sample) -> Hit:
    return _length("row", limits, sample.content.characters(), sample.texts)


def _answer(limits: Length, sample: Sample) -> Hit:
    answer = sample.content.answer()
    return _length("answer", limits, len(answer), lambda: [answer]) if answer and sample.content.text is None else None


def _length(what: str, limits: Length, characters: int, texts: Callable[[], list[str]]) -> Hit:
    """`texts`: gives the texts, whose words are counted only where they matter."""
    fault = _beyond(characters, limits.min_characters, limits.max_characters)
    if fault is None and (limits.min_words or limits.max_words):
        fault = _beyond(sum(len(text.split()) for text in texts()), limits.min_words, limits.max_words)
    return (f"{fault}_{what}", excerpt("\n".join(texts()))) if fault else None


def _beyond(count: int, least: int | None, most: int | None) -> str | None:
    if least is not None and count < least:
        return "short"
    return "long" if most is not None and count > most else None


def _garbled(sample: Sample) -> Hit:
    for text in sample.texts():
        if (at := garbled_at(text)) is not None:
            return "garbled", excerpt(text[max(0, at - 60) :])
    return None


def _language(wanted: Language, sample: Sample) -> Hit:
    questions = " ".join(question for question, _ in sample.exchanges)
    for text in (questions, " ".join(sample.learned())):
        code, _ = language(text)
        if code is not None and code not in wanted.wanted:
            return "language", f"{code}: {excerpt(text)}"
    return None


def _truncated(sample: Sample) -> Hit:
    if sample.finish_reason is not None and measures.is_cut(sample.finish_reason):
        return "truncated", excerpt(sample.content.answer(), end=True)
    cut = next((answer for _, answer in sample.exchanges if measures.is_truncated(answer)), None)
    return None if cut is None else ("truncated", excerpt(cut, end=True))


def _exchange(name: str, is_fault: Callable[[str, str], bool], sample: Sample) -> Hit:
    """The first exchange, question and answer, that `is_fault`."""
    for question, answer in sample.exchanges:
        if is_fault(question, answer):
            return name, excerpt(answer)
    return None


def _without_tools(name: str, is_fault: Callable[[str, str], bool], sample: Sample) -> Hit:
    return None if sample.content.tools else _exchange(name, is_fault, sample)


def _repetition(limits: Repetition, sample: Sample) -> Hit:
    for text in sample.learned():
        if _repeats(limits, text[:MEASURED]):
            return "repetition", excerpt(text)
    return None


def _repeats(limits: Repetition, text: str) -> bool:
    if limits.run is not None and measures.has_run(text, limits.run):
        return True
    shares = (
        (measures.repeated_lines, limits.lines),
        (measures.repeated_sentences, limits.sentences),
        (measures.repeated_words, limits.words),
    )
    return measures.may_repeat(text) and any(limit is not None and measure(text) >= limit for measure, limit in shares)
