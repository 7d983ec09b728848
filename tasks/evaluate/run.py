"""One candidate: ask the held-out rows, score the answers, ask the benchmarks, write."""

import shutil
from dataclasses import dataclass
from typing import Any

import torch

from tasks.chat.reasoning import ReasoningReader
from tasks.core.errors import InputError
from tasks.core.files import write_json, written
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.engine.chosen import Engine as Machinery
from tasks.engine.chosen import chosen
from tasks.evaluate import candidates
from tasks.evaluate.answer_store import AnswerStore, identity
from tasks.evaluate.calls import CallReader
from tasks.evaluate.classes import Classes
from tasks.evaluate.engine import Answer, Engine, stop_ids
from tasks.evaluate.predictions import prediction_columns, write
from tasks.evaluate.prompting import ask_all, build_questions, generates, likelihoods_alone
from tasks.evaluate.questions import Question, answer_room, rows, shots_used
from tasks.evaluate.scores import left_out, scores
from tasks.evaluate.settings import Settings
from tasks.evaluate.spread import Origin, carried_out
from tasks.rows.columns import class_columns
from tasks.rows.draw import Drawable, draw
from tasks.statistics.confusion import confusion, describe_confusion

CONTEXT = 2048
"""Tokens; assumed for a model whose configuration names no longest sequence."""


@dataclass
class CandidateAnswers:
    """The held-out rows as one candidate was asked them, and what it said."""

    questions: list[Question | None]
    answers: list[Answer]
    likelihoods: dict[str, list[dict[str, Any] | None]]
    max_new_tokens: int
    """Tokens that an answer might have."""
    reader: ReasoningReader
    """What told its reasoning from its answers."""
    calls: CallReader
    """What reads its calls of tools."""
    benchmarks: Any = None


def evaluate(settings: Settings, paths: Paths, candidate: str) -> None:
    """Write `data/evaluation/CANDIDATE`. A row that does not fit into the context is counted, as a wrong answer.

        evaluate(Settings(limit=100), Paths(root), "merged")

    Rows that nobody can be asked, texts and answers that were judged bad, are counted apart (`not_asked`).
    """
    torch.set_num_threads(settings.threads)
    candidates.check(candidate, settings, paths)
    every_row, not_asked = rows(paths.rows("test"), texts=likelihoods_alone(settings))
    indices, drawn = draw(
        [
            Drawable(row["id"], str(row["messages"][-1].get("content") or ""), (row["slice"], row["source"]))
            for row in every_row
        ],
        settings.limit,
    )
    held_out = [every_row[index] for index in indices]
    classes = {metric.column: Classes.of(metric, every_row) for metric in settings.metrics if metric.classes}
    servers = settings.teachers(candidate)
    if servers:
        results = ask_endpoint(held_out, candidate, settings, paths)
    else:
        with chosen(paths) as machinery:
            results = ask_model(held_out, classes, candidate, settings, paths, machinery)
    columns = prediction_columns(
        held_out,
        results.questions,
        results.answers,
        results.likelihoods,
        settings.metrics,
        paths.scoring,
        results.reader,
        results.calls,
        classes,
    )
    fitting = [question for question in results.questions if question]
    ends = [answer.finish for answer in results.answers]
    facts = {
        "candidate": candidate,
        "kind": candidates.kind(candidate, settings),
        **scores(settings.metrics, columns),
        "max_new_tokens": results.max_new_tokens,
        "too_long": len(held_out) - len(fitting),
        "not_asked": not_asked,
        "drawn": drawn,
        "left_out": left_out(settings.metrics, columns),
        "classes": {
            metric.column: confusion(*(columns[name] for name in class_columns(metric.column)))
            for metric in settings.metrics
            if metric.classes
        },
        "cut": ends.count("length"),
        "no_answer": ends.count("no_answer"),
        "empty": sum(not answer.text.strip() for answer in results.answers),
        "reasoning": {
            "answers": sum(bool(answer.reasoning) for answer in results.answers),
            "references": sum(map(bool, columns["reference_reasoning"])),
            "not_ended": sum(not answer.ended for answer in results.answers),
        },
    }
    if candidate == "base_few_shot":
        facts["shots"] = shots_used(fitting)
    with written(paths.evaluation(candidate)) as out:
        out.mkdir()
        write_json(out / "scores.json", facts)
        write(out / "predictions.parquet", columns, settings.metrics)
        write_json(out / "settings.json", settings.effective())
        if results.benchmarks:
            results.benchmarks.write(out)
    shutil.rmtree(paths.scratch(f"evaluate-{candidate}"))
    if not_asked:
        print(
            f"evaluate {candidate}: not asked, as texts or bad answers: {counted(not_asked, 'rows')} of the test",
            flush=True,
        )
    _tell(facts)


def _tell(facts: dict[str, Any]) -> None:
    """Print the scores, and what they do not say."""
    candidate = facts["candidate"]
    for name, score in facts["metrics"].items():
        print(
            f"evaluate {candidate}: {name.replace('_', ' ')} {score['value']:.3f} "
            f"({score['low']:.3f} to {score['high']:.3f})",
            flush=True,
        )
    for name, rows_of in facts["left_out"].items():
        print(
            f"evaluate {candidate}: {name.replace('_', ' ')} leaves out {rows_of['rows']} rows, longer with their "
            f"reference than the model's context ({', '.join(rows_of['ids'][:5])})",
            flush=True,
        )
    for name, classes in facts["classes"].items():
        for sentence in describe_confusion(classes):
            print(f"evaluate {candidate}: {name.replace('_', ' ')}: {sentence}", flush=True)


def ask_endpoint(held_out: list[dict[str, Any]], candidate: str, settings: Settings, paths: Paths) -> CandidateAnswers:
    """A candidate behind an endpoint."""
    from tasks.evaluate.served import ask_server, check

    check(candidate, settings)
    (server,) = settings.teachers(candidate)
    questions, answers = ask_server(held_out, candidate, server, paths)
    return CandidateAnswers(questions, answers, {}, server.max_new_tokens, ReasoningReader(), CallReader())


def ask_model(
    held_out: list[dict[str, Any]],
    classes: dict[str, Classes],
    candidate: str,
    settings: Settings,
    paths: Paths,
    machinery: Machinery,
) -> CandidateAnswers:
    """A candidate that is a model here, or is sent from here to the nodes of a cluster."""
    *_, folder = folders = candidates.folders(candidate, settings, paths)
    tokenizer = candidates.chat_tokenizer(folder)
    model = candidates.load(candidate, settings, folders, tokenizer)
    context = int(getattr(model.config.get_text_config(), "max_position_embeddings", CONTEXT))
    max_new_tokens = settings.max_new_tokens or answer_room(held_out, tokenizer, stop_ids(model, tokenizer), context)
    room = context - (max_new_tokens if generates(settings.metrics) else 1)
    questions = build_questions(held_out, candidate, settings, paths, tokenizer, room)
    whole = questions
    if None in questions and any(metric.asks != "answer" for metric in settings.metrics):
        whole = build_questions(held_out, candidate, settings, paths, tokenizer, context - 1)
    if not any(questions):
        raise InputError(
            f"{paths.clean / 'test.parquet'}: none of {counted(len(held_out), 'rows')} fits into the model's context "
            f"of {context} tokens with {max_new_tokens} for the answer; lower evaluate.max_new_tokens, or shorten the "
            "rows."
        )
    store = AnswerStore(
        paths.scratch(f"evaluate-{candidate}"), identity(folders, [settings.threads, str(model.device), context])
    )
    work = carried_out(machinery, model, Origin(candidate, settings, folders, context))
    engine = Engine.of(settings, model, tokenizer, context, store, work)
    results = CandidateAnswers(
        questions,
        *ask_all(held_out, questions, settings.metrics, classes, engine, max_new_tokens, candidate, whole),
        max_new_tokens,
        engine.reader,
        CallReader(tokenizer, engine.reader),
    )
    if settings.benchmarks and candidate in settings.benchmarked:
        from tasks.evaluate.benchmarks import run_benchmarks

        results.benchmarks = run_benchmarks(settings.benchmarks, engine, paths.scoring, reporter)
    return results
