"""One candidate: ask the held-out rows, score the answers, ask the benchmarks, write."""

import shutil
from typing import Any

import torch

from tasks.core.files import write_json, written
from tasks.core.numbers import counted, metric_name
from tasks.core.paths import Paths
from tasks.engine.chosen import chosen
from tasks.evaluate import candidates
from tasks.evaluate.asking import ask_endpoint, ask_model, cost
from tasks.evaluate.class_lists import known_classes
from tasks.evaluate.predictions import prediction_columns, write
from tasks.evaluate.prompting import likelihoods_alone
from tasks.evaluate.questions import drawn_rows, rows, shots_used
from tasks.evaluate.scores import left_out, scores
from tasks.evaluate.settings import RETRIEVED, Metric, Settings
from tasks.rows.columns import class_columns
from tasks.rows.label_lists import as_sets
from tasks.statistics.confusion import confusion
from tasks.statistics.label_table import describe_classes, label_table


def evaluate(settings: Settings, paths: Paths, candidate: str) -> None:
    """Write `data/evaluation/CANDIDATE`. A row that does not fit into the context is counted, as a wrong answer.

        evaluate(Settings(limit=100), Paths(root), "merged")

    Rows that nobody can be asked, texts and answers that were judged bad, are counted apart (`not_asked`).
    """
    torch.set_num_threads(settings.threads)
    candidates.check(candidate, settings, paths)
    every_row, not_asked = rows(paths.rows("test"), texts=likelihoods_alone(settings))
    held_out, drawn = drawn_rows(every_row, settings.limit)
    classes = {metric.column: known_classes(metric, every_row) for metric in settings.metrics if metric.classes}
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
        "cost": cost(results.questions, results.answers),
        "left_out": left_out(settings.metrics, columns),
        "classes": {
            metric.column: _by_class(metric, *(columns[name] for name in class_columns(metric.column)))
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
    if candidate in (*RETRIEVED, *settings.documents, "base_few_shot"):
        facts["shots"] = shots_used(fitting)
        facts["shown"] = "passages" if candidate in settings.documents else "examples"
    if results.engine:
        facts["engine"] = results.engine
    if results.tried:
        facts["prompts"] = results.tried
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
            f"evaluate {candidate}: not asked: {counted(not_asked, 'rows')} of the test split, which are texts or "
            "answers rated bad",
            flush=True,
        )
    _tell(facts)


def _by_class(metric: Metric, truth: list[Any], answers: list[Any]) -> dict[str, Any]:
    """What is known of each class, by the columns of references and answers."""
    return label_table(*map(as_sets, (truth, answers))) if metric.several else confusion(truth, answers)


def _tell(facts: dict[str, Any]) -> None:
    """Print the scores, and what they do not say."""
    candidate = facts["candidate"]
    for name, score in facts["metrics"].items():
        print(
            f"evaluate {candidate}: {metric_name(name)} {score['value']:.3f} "
            f"({score['low']:.3f} to {score['high']:.3f})",
            flush=True,
        )
    for name, rows_of in facts["left_out"].items():
        print(
            f"evaluate {candidate}: {metric_name(name)} leaves out {counted(rows_of['rows'], 'rows')}, longer with "
            f"the reference than the model's context ({', '.join(rows_of['ids'][:5])})",
            flush=True,
        )
    for name, classes in facts["classes"].items():
        for sentence in describe_classes(classes):
            print(f"evaluate {candidate}: {metric_name(name)}: {sentence}", flush=True)
