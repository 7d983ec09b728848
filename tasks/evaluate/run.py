"""One candidate: ask the held-out rows, score the answers, ask the benchmarks, write."""

import shutil
from dataclasses import dataclass
from typing import Any

import torch

from tasks.core.errors import InputError
from tasks.core.files import write_json, written
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.evaluate import candidates
from tasks.evaluate.answer_store import Record, identity
from tasks.evaluate.engine import Answer, Engine
from tasks.evaluate.predictions import predicted, write
from tasks.evaluate.prompting import ask_all, asked_of
from tasks.evaluate.questions import Question, answer_room, rows, shots_used
from tasks.evaluate.scores import scores
from tasks.evaluate.settings import Settings

CONTEXT = 2048
"""Tokens; assumed for a model whose configuration names no longest sequence."""


@dataclass
class Asked:
    """The held-out rows as one candidate was asked them, and what it said."""

    questions: list[Question | None]
    answers: list[Answer]
    likelihoods: dict[str, list[dict[str, Any] | None]]
    most: int
    """Tokens that an answer might have."""
    benchmarks: Any = None


def evaluate(settings: Settings, paths: Paths, candidate: str) -> None:
    """Write `data/evaluation/CANDIDATE`. A row that does not fit into the context is counted, as a wrong answer.

    Rows that nobody can be asked, texts and answers that were judged bad, are counted apart (`not_asked`).
    """
    torch.set_num_threads(settings.threads)
    candidates.check(candidate, settings, paths)
    held_out, others = rows(paths.clean / "test.parquet", settings.limit)
    servers = settings.teachers(candidate)
    asked = served(held_out, candidate, settings, paths) if servers else modelled(held_out, candidate, settings, paths)
    columns = predicted(held_out, asked.questions, asked.answers, asked.likelihoods, settings.metrics, paths.scoring)
    fitting = [question for question in asked.questions if question]
    ends = [answer.finish for answer in asked.answers]
    facts = {
        "candidate": candidate,
        "kind": candidates.kind(candidate, settings),
        **scores(settings.metrics, columns),
        "max_new_tokens": asked.most,
        "too_long": len(held_out) - len(fitting),
        "not_asked": others,
        "cut": ends.count("length"),
        "no_answer": ends.count("no_answer"),
        "empty": sum(not answer.text.strip() for answer in asked.answers),
    }
    if candidate == "base_few_shot":
        facts["shots"] = shots_used(fitting)
    with written(paths.evaluation(candidate)) as out:
        out.mkdir()
        write_json(out / "scores.json", facts)
        write(out / "predictions.parquet", columns)
        write_json(out / "settings.json", settings.effective())
        if asked.benchmarks:
            asked.benchmarks.write(out)
    shutil.rmtree(paths.scratch(f"evaluate-{candidate}"))
    if others:
        print(f"evaluate {candidate}: {others} rows of the test are texts or bad answers, and not asked", flush=True)
    for name, score in facts["metrics"].items():
        print(
            f"evaluate {candidate}: {name.replace('_', ' ')} {score['value']:.3f} "
            f"({score['low']:.3f} to {score['high']:.3f})",
            flush=True,
        )


def served(held_out: list[dict[str, Any]], candidate: str, settings: Settings, paths: Paths) -> Asked:
    """A candidate behind an endpoint."""
    from tasks.evaluate.served import ask_server, check

    check(candidate, settings)
    (server,) = settings.teachers(candidate)
    return Asked(*ask_server(held_out, candidate, server, paths), {}, server.max_new_tokens)


def modelled(held_out: list[dict[str, Any]], candidate: str, settings: Settings, paths: Paths) -> Asked:
    """A candidate that is a model here."""
    *_, folder = places = candidates.folders(candidate, settings, paths)
    tokenizer = candidates.tokenizer(folder)
    model = candidates.load(candidate, settings, paths, tokenizer)
    context = int(getattr(model.config, "max_position_embeddings", CONTEXT))
    most = settings.max_new_tokens or answer_room(held_out, tokenizer, context)
    questions = asked_of(held_out, candidate, settings, paths, tokenizer, context - most)
    if not any(questions):
        raise InputError(
            f"{paths.clean / 'test.parquet'}: none of {len(held_out)} rows fits into the model's context of {context} "
            f"tokens with {most} for the answer; lower evaluate.max_new_tokens, or shorten the rows."
        )
    engine = Engine(
        model,
        tokenizer,
        context=context,
        batch_size=settings.batch_size,
        batch_tokens=settings.batch_tokens,
        record=Record(
            paths.scratch(f"evaluate-{candidate}"), identity(places, [settings.threads, str(model.device), context])
        ),
    )
    asked = Asked(questions, *ask_all(held_out, questions, settings.metrics, engine, most, candidate), most)
    if settings.benchmarks and candidate in settings.benchmarked:
        from tasks.evaluate.benchmarks import benchmarked

        asked.benchmarks = benchmarked(settings.benchmarks, engine, paths.scoring, reporter)
    return asked
