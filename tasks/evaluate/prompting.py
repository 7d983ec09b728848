"""What a candidate is asked of each row, and what it says: an answer, or how likely given ones are."""

import json
from typing import Any

from tasks.chat.renderer import Renderer
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.evaluate.engine import Answer, Engine
from tasks.evaluate.metrics.registry import METRICS
from tasks.evaluate.questions import Question, build_question, continuation_ids, extras, rows, shots
from tasks.evaluate.settings import Metric, Settings

Row = dict[str, Any]


def build_questions(
    held_out: list[Row], candidate: str, settings: Settings, paths: Paths, tokenizer: Any, room: int
) -> list[Question | None]:
    """Each row as this candidate is asked it, in at most `room` tokens; None where it does not fit."""
    earlier = []
    if candidate == "base_few_shot":
        earlier = shots(rows(paths.rows("train"))[0], held_out, settings.shots)
    system_prompt = settings.system if candidate == "base_system" else None
    renderer = Renderer(tokenizer)
    return [build_question(row, earlier, renderer, tokenizer, room, system_prompt) for row in held_out]


def ask_all(
    held_out: list[Row],
    questions: list[Question | None],
    metrics: list[Metric],
    engine: Engine,
    max_new_tokens: int,
    candidate: str,
) -> tuple[list[Answer], dict[str, list[dict[str, Any] | None]]]:
    """The answer to each row, and for each metric of likelihoods what it found of each row, by column."""
    likelihoods = {
        metric.column: _likelihoods(held_out, questions, metric, engine, candidate)
        for metric in metrics
        if METRICS[metric.kind].asks_likelihood
    }
    if len(likelihoods) == len(metrics):
        return [_choice_as_answer(likeliest) for likeliest in next(iter(likelihoods.values()))], likelihoods
    fitting = [list(question.ids) for question in questions if question]
    answers = iter(engine.answers(fitting, max_new_tokens, reporter(f"evaluate {candidate}", len(fitting), "rows")))
    return [next(answers) if question else Answer("", 0, "too_long") for question in questions], likelihoods


def _likelihoods(
    held_out: list[Row], questions: list[Question | None], metric: Metric, engine: Engine, candidate: str
) -> list[dict[str, Any] | None]:
    renderer = Renderer(engine.tokenizer)
    pairs, origins = [], []
    for index, (row, question) in enumerate(zip(held_out, questions, strict=True)):
        turns = [row["messages"][-1]]
        if METRICS[metric.kind].asks == "choice":
            reference = engine.reader.of_message(turns[0]).answer
            turns = [{"role": "assistant", "content": choice} for choice in _choices(row, metric, reference)]
        if question:
            for turn in turns:
                continuation = continuation_ids(row, turn, renderer, engine.tokenizer, question, engine.stop_ids)
                if len(question.ids) + len(continuation) <= engine.context:
                    pairs.append((list(question.ids), continuation))
                    origins.append((index, turn["content"], len(continuation)))
    likeliest: list[dict[str, Any] | None] = [None] * len(held_out)
    log_likelihoods = engine.likelihoods(pairs, reporter(f"evaluate {candidate}, {metric.column}", len(pairs), "texts"))
    for (index, text, tokens), (value, _) in zip(origins, log_likelihoods, strict=True):
        entry = likeliest[index] or {"value": float("-inf"), "text": None, "tokens": 0}
        if value > entry["value"]:
            entry = {"value": value, "text": text, "tokens": tokens}
        likeliest[index] = entry
    return likeliest


def _choices(row: Row, metric: Metric, reference: str) -> list[str]:
    choices = metric.choices or extras(row).get("choices") or []
    choices = json.loads(choices) if isinstance(choices, str) else choices
    if len(choices) < 2 or reference not in choices:
        raise InputError(
            f"evaluate: {metric.column}: the reference {reference!r} of the row {row['id']} is not one of its choices "
            f"{choices!r}; give evaluate.metrics choices, or the row's last message a key `choices`."
        )
    return [str(choice) for choice in choices]


def _choice_as_answer(likeliest: dict[str, Any] | None) -> Answer:
    return Answer(str(likeliest["text"]), likeliest["tokens"], "chosen") if likeliest else Answer("", 0, "too_long")
