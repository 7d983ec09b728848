"""A candidate that is a classifier: which class its head finds likeliest for each held-out row, or which classes apply.
Nothing is generated.

It is asked the prompts that the base is asked, and what it names goes through the same metric of classes, so that both
are compared row by row.

Shapes: `B` rows of a batch, `T` tokens of the longest prompt, `C` classes.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from tasks.core.errors import SettingsError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.core.progress import reporter
from tasks.evaluate.answer_store import AnswerStore
from tasks.evaluate.batches import batches
from tasks.evaluate.classes import Classes
from tasks.evaluate.engine import Answer
from tasks.evaluate.questions import Question
from tasks.evaluate.settings import Settings
from tasks.models.head import Head, filled
from tasks.rows.label_lists import as_answer

Row = dict[str, Any]
Chosen = dict[str, Any]
"""What a row is: `text`, the name of its likeliest class, or a JSON list of those that apply; `value`, the
log-probability in nats of that; `tokens`, 0."""


def check(candidate: str, settings: Settings, head: Head) -> None:
    """Raise `SettingsError` where metrics or benchmarks ask of a classifier what it cannot say."""
    several = head.threshold is not None
    if unlike := [metric.column for metric in settings.metrics if metric.classes and metric.several != several]:
        has, wanted = ("any number of classes", "multilabel") if several else ("one class", "classification")
        raise SettingsError(
            f"{PATHS.params}: evaluate.metrics: {unlike[0]}: {candidate} gives each row {has}; use the metric {wanted}."
        )
    if other := [metric.column for metric in settings.metrics if not metric.classes]:
        raise SettingsError(
            f"{PATHS.params}: evaluate.metrics: {other[0]} scores generated text, but {candidate} is a classifier and "
            f"generates none; use the metric {'multilabel' if several else 'classification'} alone."
        )
    if settings.benchmarks and candidate in settings.benchmarked:
        raise SettingsError(
            f"{PATHS.params}: evaluate.benchmarks needs a model that generates text, but {candidate} is a classifier; "
            "remove it from evaluate.benchmarked."
        )


class HeadEngine:
    """A classifier on its device, with the limits of a batch and the record of what is done."""

    def __init__(self, model: Any, settings: Settings, store: AnswerStore) -> None:
        self.model, self.settings, self.store = model, settings, store
        self.head = Head.of(model.config)

    def chosen(self, questions: list[Question | None], candidate: str) -> list[Chosen | None]:
        """The likeliest class of each question, the first of equals, or those that apply; None where the prompt did not
        fit."""
        places = [place for place, question in enumerate(questions) if question]
        prompts = [list(question.ids) for question in questions if question]
        report = reporter(f"evaluate {candidate}", len(prompts), "rows")
        parts = batches([len(ids) for ids in prompts], self.settings.batch_size, self.settings.batch_tokens)
        asked = [["classes", [prompts[index] for index in part]] for part in parts]
        answers: list[Chosen | None] = [None] * len(questions)
        done = 0
        for part, rows in zip(parts, self.store.each(asked, self._computed), strict=True):
            for index, (numbers, value) in zip(part, rows, strict=True):
                names = [self.head.classes[number] for number in numbers]
                text = names[0] if self.head.threshold is None else as_answer(names)
                answers[places[index]] = {"text": text, "value": value, "tokens": 0}
            done += len(part)
            report(done)
        return answers

    def _computed(self, asked: list[Any]) -> Iterator[list[Any]]:
        return (self._batch(prompts) for _, prompts in asked)

    @torch.inference_mode()
    def _batch(self, prompts: list[list[int]]) -> list[tuple[list[int], float]]:
        ids, mask = (tensor.to(self.model.device) for tensor in filled(prompts, self.head.pad))  # (B, T)
        logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()  # (B, C)
        if self.head.threshold is None:
            values, numbers = logits.log_softmax(-1).max(-1)
            chosen = [[number] for number in numbers.tolist()]
        else:
            applies = logits.sigmoid() >= self.head.threshold  # (B, C)
            values = torch.where(applies, logsigmoid(logits), logsigmoid(-logits)).sum(-1)
            chosen = [row.nonzero().flatten().tolist() for row in applies]
        return list(zip(chosen, values.tolist(), strict=True))


def as_answers(chosen: list[Chosen | None]) -> list[Answer]:
    """The class of each row as an answer without tokens; a row whose prompt did not fit is wrong, as with others."""
    return [Answer(str(one["text"]), 0, "chosen") if one else Answer("", 0, "too_long") for one in chosen]


def tell_unknown(held_out: list[Row], known: Classes, head: Head, candidate: str) -> None:
    """Say how many rows have a class that the head lacks: it cannot be right there, and that counts against it."""
    learned = {known.one(name) for name in head.classes}
    strange = [names for row in held_out if (names := sorted(known.all_of_row(row) - learned))]
    if strange:
        print(
            f"evaluate {candidate}: {counted(len(strange), 'rows')} have a class that the head was not trained on, "
            f"such as {strange[0][0]!r}; they count as wrong",
            flush=True,
        )
