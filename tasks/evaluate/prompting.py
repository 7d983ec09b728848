"""What a candidate is asked of each row, and what it says: an answer, or how likely given ones are."""

from dataclasses import replace
from typing import Any

from tasks.chat.renderer import Renderer
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.evaluate.classes import Classes
from tasks.evaluate.engine import Answer, Engine
from tasks.evaluate.likelihoods import Scored, likeliest, references
from tasks.evaluate.questions import Question, build_question, rows, shots
from tasks.evaluate.retrieval import check_documents, nearest_passages, nearest_rows, with_passages
from tasks.evaluate.settings import RETRIEVED, Metric, Settings
from tasks.evaluate.texts import as_question, is_text

Row = dict[str, Any]


def build_questions(
    held_out: list[Row],
    candidate: str,
    settings: Settings,
    paths: Paths,
    tokenizer: Any,
    room: int,
    best_prompt: str | None = None,
) -> list[Question | None]:
    """Each row as this candidate is asked it, in at most `room` tokens; None where it does not fit.

    `best_prompt`: the system prompt of a candidate of evaluate.prompts.
    """
    renderer = Renderer(tokenizer)
    if candidate in settings.documents:
        nearest = nearest_passages(check_documents(candidate, settings, paths), held_out, settings.shots)
        return [
            _with_passages(row, passages, renderer, tokenizer, room)
            for row, passages in zip(held_out, nearest, strict=True)
        ]
    texts = likelihoods_alone(settings)
    earlier: list[list[Row]] = [[]] * len(held_out)
    if candidate in RETRIEVED:
        earlier = nearest_rows(rows(paths.rows("train"), texts=texts)[0], held_out, settings.shots)
    elif candidate == "base_few_shot":
        earlier = [shots(rows(paths.rows("train"), texts=texts)[0], held_out, settings.shots)] * len(held_out)
    system_prompt = settings.system if candidate == "base_system" else best_prompt
    return [
        as_question(row)
        if is_text(row)
        else build_question(row, before, renderer, tokenizer, room, system_prompt, nearest_first=candidate in RETRIEVED)
        for row, before in zip(held_out, earlier, strict=True)
    ]


def _with_passages(row: Row, passages: list[str], renderer: Renderer, tokenizer: Any, room: int) -> Question | None:
    for kept in range(len(passages), -1, -1):
        if question := build_question(row, [], renderer, tokenizer, room, with_passages(passages[:kept])):
            return replace(question, shots=kept)
    return None


def ask_all(
    held_out: list[Row],
    questions: list[Question | None],
    metrics: list[Metric],
    classes: dict[str, Classes],
    engine: Engine,
    max_new_tokens: int,
    candidate: str,
    whole: list[Question | None],
) -> tuple[list[Answer], dict[str, list[Scored | None]]]:
    """The answer to each row, and for each metric of likelihoods what it found of each row, by column.

    `whole`: the questions as they are where nothing is generated and no room for an answer needed.
    """
    scored: dict[str, list[Scored | None]] = {}
    for metric in metrics:
        report = reporter(f"evaluate {candidate}, {metric.column}", len(held_out), "rows")
        if metric.asks == "loss":
            scored[metric.column] = references(held_out, whole, engine, report)
        elif metric.asks == "choice":
            scored[metric.column] = likeliest(held_out, whole, metric, classes.get(metric.column), engine, report)
    if not generates(metrics):
        chosen = [scored[metric.column] for metric in metrics if metric.asks == "choice"]
        return [_as_answer(one) for one in (chosen or list(scored.values()))[0]], scored
    fitting = [list(question.ids) for question in questions if question]
    answers = iter(engine.answers(fitting, max_new_tokens, reporter(f"evaluate {candidate}", len(fitting), "rows")))
    return [next(answers) if question else Answer("", 0, "too_long") for question in questions], scored


def likelihoods_alone(settings: Settings) -> bool:
    """Whether every metric asks how likely the reference is, which texts can be asked too."""
    return all(metric.asks == "loss" for metric in settings.metrics) and not settings.benchmarks


def generates(metrics: list[Metric]) -> bool:
    """Whether any metric looks at what a model answers."""
    return any(metric.asks == "answer" for metric in metrics)


def _as_answer(scored: Scored | None) -> Answer:
    return Answer(str(scored["text"]), scored["tokens"], "chosen") if scored else Answer("", 0, "too_long")
