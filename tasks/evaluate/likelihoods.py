"""How likely given texts are after a question: the reference, or each of some choices. Nothing is generated.

A text is scored with the token that ends it, so that one that another begins with is no likelier for being shorter.
"""

from collections.abc import Callable
from typing import Any

from tasks.chat.renderer import Renderer
from tasks.evaluate.classes import Classes, row_choices
from tasks.evaluate.engine import Engine
from tasks.evaluate.questions import Question, continuation_ids, ids_after, turn_text
from tasks.evaluate.settings import Metric
from tasks.evaluate.texts import Windows, is_text

Row = dict[str, Any]
Scored = dict[str, Any]
"""What a model finds of a row: `value`, the log-likelihood in nats (by the character, where the metric says so), of
`text`, and its `tokens`."""

TAIL = 24
"""Characters at the end of a prompt beyond which nothing changes how the tokens of what follows are cut."""


def references(
    held_out: list[Row], questions: list[Question | None], engine: Engine, report: Callable[[int], None]
) -> list[Scored | None]:
    """The reference of each row, or its text; None where a reference does not fit behind its question."""
    renderer = Renderer(engine.tokenizer)
    pairs: list[tuple[list[int], list[int]]] = []
    origins: list[tuple[int, str]] = []
    windows: Windows | None = None
    for index, (row, question) in enumerate(zip(held_out, questions, strict=True)):
        if is_text(row):
            windows = windows or Windows(engine.tokenizer, engine.context)
            parts = windows.of(row["text"])
            pairs += parts
            origins += [(index, row["text"])] * len(parts)
        elif question:
            turn = row["messages"][-1]
            continuation = continuation_ids(row, turn, renderer, engine.tokenizer, question, engine.stop_ids)
            if len(question.ids) + len(continuation) <= engine.context:
                pairs.append((list(question.ids), continuation))
                origins.append((index, turn["content"]))
    scored: list[Scored | None] = [None] * len(held_out)
    for (index, text), (_, continuation), (value, _) in zip(
        origins, pairs, engine.likelihoods(pairs, report), strict=True
    ):
        before = scored[index] or {"value": 0.0, "tokens": 0}
        tokens = before["tokens"] + len(continuation)
        scored[index] = {"value": before["value"] + value, "text": text, "tokens": tokens}
    return scored


def likeliest(
    held_out: list[Row],
    questions: list[Question | None],
    metric: Metric,
    classes: Classes | None,
    engine: Engine,
    report: Callable[[int], None],
) -> list[Scored | None]:
    """The likeliest choice of each row, the first of equals; None where a choice does not fit with its question.

    `classes`: the choices of every row; None: each row has its own. Sums of log-probabilities are compared, or, where
    they are normalised, means over the characters of a choice: lm-eval's `acc` and `acc_norm`.
    """
    cut = _Cut(engine)
    prompts, texts, origins = [], [], []
    for index, (row, question) in enumerate(zip(held_out, questions, strict=True)):
        reference = engine.reader.of_message(row["messages"][-1]).answer
        choices = classes.names if classes else row_choices(row, metric, reference)
        if question:
            continuations = cut.after(row, question, choices)
            if len(question.ids) + max(map(len, continuations)) <= engine.context:
                prompts.append(list(question.ids))
                texts.append(continuations)
                origins.append((index, choices))
    scored: list[Scored | None] = [None] * len(held_out)
    for (index, choices), continuations, values in zip(
        origins, texts, engine.options(prompts, texts, report), strict=True
    ):
        if metric.length_normalised:
            values = [value / max(1, len(choice)) for value, choice in zip(values, choices, strict=True)]
        best = max(range(len(values)), key=lambda at: (values[at], -at))
        scored[index] = {"value": values[best], "text": choices[best], "tokens": len(continuations[best])}
    return scored


class _Cut:
    """The tokens of choices as they follow a question in training, cut once for prompts that end alike."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._renderer = engine, Renderer(engine.tokenizer)
        self._known: dict[tuple[str, str], list[int]] = {}

    def after(self, row: Row, question: Question, choices: list[str]) -> list[list[int]]:
        """Token ids of each choice, with the token that ends its turn."""
        first = {"role": "assistant", "content": choices[0]}
        written = turn_text(row, first, self._renderer, self._engine.tokenizer)
        before, here, behind = written.partition(choices[0])
        if not here:  # the template does not write a choice as it is
            return [self._one(row, question, choice) for choice in choices]
        return [self._cut(question, before + choice + behind) for choice in choices]

    def _cut(self, question: Question, continuation: str) -> list[int]:
        key = (question.prompt[-TAIL:], continuation)
        if key not in self._known:
            self._known[key] = ids_after(question, continuation, self._engine.tokenizer, self._engine.stop_ids)
        return self._known[key]

    def _one(self, row: Row, question: Question, choice: str) -> list[int]:
        turn = {"role": "assistant", "content": choice}
        return continuation_ids(row, turn, self._renderer, self._engine.tokenizer, question, self._engine.stop_ids)
