"""The system prompt under which the base does best on rows of the validation split; the test has no say in it."""

from typing import Any

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate.calls import CallReader
from tasks.evaluate.class_lists import known_classes
from tasks.evaluate.engine import Engine
from tasks.evaluate.predictions import prediction_columns
from tasks.evaluate.prompting import ask_all, build_questions
from tasks.evaluate.questions import drawn_rows, rows
from tasks.evaluate.scores import metric_scores
from tasks.evaluate.settings import Settings

ROWS = 200
"""Rows of the validation split that each prompt is tried on, at most."""


def best_prompt(
    candidate: str, settings: Settings, paths: Paths, engine: Engine, max_new_tokens: int, room: int
) -> tuple[str, list[dict[str, Any]]]:
    """The best prompt of `candidate` by the first metric, the first of equals; and each with its score.

    Raises `InputError` where no row of the validation split can be asked.
    """
    held_out = _validation(candidate, paths)
    metric = settings.metrics[0]
    classes = {metric.column: known_classes(metric, held_out)} if metric.classes else {}
    tried = []
    for prompt in settings.prompts[candidate]:
        questions = build_questions(held_out, candidate, settings, paths, engine.tokenizer, room, prompt)
        answers, likelihoods = ask_all(
            held_out, questions, [metric], classes, engine, max_new_tokens, candidate, questions
        )
        columns = prediction_columns(
            held_out,
            questions,
            answers,
            likelihoods,
            [metric],
            paths.scoring,
            engine.reader,
            CallReader(engine.tokenizer, engine.reader),
            classes,
        )
        score = metric_scores([metric], columns, list(range(len(held_out))))[metric.scores[0]]
        tried.append({"prompt": prompt, "metric": metric.scores[0], **score})
    sign = -1 if tried[0]["better"] == "lower" else 1
    best = max(range(len(tried)), key=lambda at: (sign * tried[at]["value"], -at))
    return settings.prompts[candidate][best], [{**one, "chosen": at == best} for at, one in enumerate(tried)]


def _validation(candidate: str, paths: Paths) -> list[dict[str, Any]]:
    try:
        return drawn_rows(rows(paths.rows("validation"))[0], ROWS)[0]
    except (InputError, FileNotFoundError):
        raise InputError(
            f"{paths.rows('validation')}: no row that can be asked, but the prompt of {candidate} is chosen on the "
            f"validation split; raise clean.validation_share, or remove {candidate} from evaluate.prompts."
        ) from None
