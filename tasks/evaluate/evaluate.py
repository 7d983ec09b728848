"""One candidate: ask the held-out rows, score the answers, ask the benchmarks, write."""

import torch

from tasks.contract.errors import InputError
from tasks.contract.files import write_json, written
from tasks.contract.paths import Paths
from tasks.contract.progress import reporter
from tasks.evaluate import candidates
from tasks.evaluate.asked import ask_all, asked_of
from tasks.evaluate.engine import Engine
from tasks.evaluate.predictions import predicted, write
from tasks.evaluate.questions import answer_room, rows, shots_used
from tasks.evaluate.record import Record, identity
from tasks.evaluate.scores import scores
from tasks.evaluate.settings import Settings

CONTEXT = 2048
"""Tokens; assumed for a model whose configuration names no longest sequence."""


def evaluate(settings: Settings, paths: Paths, candidate: str) -> None:
    """Write `data/evaluation/CANDIDATE`. A row that does not fit into the context is counted, as a wrong answer."""
    torch.set_num_threads(settings.threads)
    candidates.check(candidate, settings, paths)
    held_out = rows(paths.clean / "test.parquet", settings.limit)
    *_, folder = places = candidates.folders(candidate, settings, paths)
    tokenizer = candidates.tokenizer(folder)
    model = candidates.load(candidate, settings, paths, tokenizer)
    context = int(getattr(model.config, "max_position_embeddings", CONTEXT))
    most = settings.max_new_tokens or answer_room(held_out, tokenizer, context)
    questions = asked_of(held_out, candidate, settings, paths, tokenizer, context - most)
    fitting = [question for question in questions if question]
    if not fitting:
        raise InputError(
            f"{paths.clean / 'test.parquet'}: none of {len(held_out)} rows fits into the model's context of {context} "
            f"tokens with {most} for the answer; lower evaluate.max_new_tokens, or shorten the rows."
        )
    record = Record(
        paths.scratch(f"evaluate-{candidate}"), identity(places, [settings.threads, str(model.device), context])
    )
    engine = Engine(
        model,
        tokenizer,
        context=context,
        batch_size=settings.batch_size,
        batch_tokens=settings.batch_tokens,
        record=record,
    )
    answers, likelihoods = ask_all(held_out, questions, settings.metrics, engine, most, candidate)
    columns = predicted(held_out, questions, answers, likelihoods, settings.metrics, paths.scoring)
    facts = {
        "candidate": candidate,
        "kind": candidates.kind(candidate, settings),
        **scores(settings.metrics, columns),
        "max_new_tokens": most,
        "too_long": len(held_out) - len(fitting),
        "cut": sum(answer.finish == "length" for answer in answers),
        "empty": sum(not answer.text.strip() for answer in answers),
    }
    if candidate == "base_few_shot":
        facts["shots"] = shots_used(fitting)
    benchmarks = None
    if settings.benchmarks and candidate in settings.benchmarked:
        from tasks.evaluate.benchmarks import benchmarked

        benchmarks = benchmarked(settings.benchmarks, engine, paths.scoring, reporter)
    with written(paths.evaluation(candidate)) as out:
        out.mkdir()
        write_json(out / "scores.json", facts)
        write(out / "predictions.parquet", columns)
        write_json(out / "settings.json", settings.effective())
        if benchmarks:
            benchmarks.write(out)
    record.close()
    for name, score in facts["metrics"].items():
        print(
            f"evaluate {candidate}: {name.replace('_', ' ')} {score['value']:.3f} "
            f"({score['low']:.3f} to {score['high']:.3f})",
            flush=True,
        )
