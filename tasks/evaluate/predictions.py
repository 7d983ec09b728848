"""Every prediction with its scores, as columns: what predictions.parquet holds."""

from pathlib import Path
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.core.errors import InputError
from tasks.evaluate.calls import CallReader
from tasks.evaluate.classes import Classes
from tasks.evaluate.engine import Answer
from tasks.evaluate.metrics.registry import METRICS, scorer
from tasks.evaluate.questions import Question, extras
from tasks.evaluate.scores import lengths
from tasks.evaluate.settings import Metric
from tasks.rows.columns import RESERVED, class_columns
from tasks.rows.label_lists import as_sets
from tasks.rows.parquet import column, write_table
from tasks.statistics.label_table import row_f1

Columns = dict[str, list[Any]]

UNANSWERED = {"too_long", "no_answer"}
"""How a row ends that has no answer: it counts as wrong."""


def prediction_columns(
    held_out: list[dict[str, Any]],
    questions: list[Question | None],
    answers: list[Answer],
    likelihoods: dict[str, list[dict[str, Any] | None]],
    metrics: list[Metric],
    scoring: Path,
    reader: ReasoningReader,
    calls: CallReader | None = None,
    classes: dict[str, Classes] | None = None,
) -> Columns:
    """Columns by name, a row each in the order of the test split.

    id, slice, source, length (short, middle, long); prompt as asked, or None where it did not fit; reference and output
    without reasoning, and the reasoning of both; tokens of the output with its reasoning, finish (stop, length,
    too_long, no_answer); and the columns of each metric (`Metric.columns`). `reader` splits references as the
    answers were split, `calls` reads the calls of both (None: by the protocol of endpoints), `classes` has those of
    each metric of classes.
    """
    calls = calls or CallReader()
    characters = [sum(len(str(turn["content"])) for turn in row["messages"][:-1]) for row in held_out]
    splits = [reader.of_message(row["messages"][-1]) for row in held_out]
    written = [calls.reference(row) for row in held_out]
    references = [split.answer if text is None else text for split, text in zip(splits, written, strict=True)]
    facts = [calls.facts(row, answer) for row, answer in zip(held_out, answers, strict=True)]
    columns: Columns = {
        "id": [row["id"] for row in held_out],
        "slice": [row["slice"] for row in held_out],
        "source": [row["source"] for row in held_out],
        "length": lengths(characters),
        "prompt": [question.prompt if question else None for question in questions],
        "reference": references,
        "reference_reasoning": [split.reasoning for split in splits],
        "output": [answer.text for answer in answers],
        "reasoning": [answer.reasoning for answer in answers],
        "tokens": [answer.tokens for answer in answers],
        "finish": [answer.finish for answer in answers],
    }
    for metric in metrics:
        if metric.asks == "loss":
            columns |= _losses(metric.column, likelihoods[metric.column])
        elif metric.classes:
            known = (classes or {})[metric.column]
            chosen = likelihoods.get(metric.column)
            outputs = [one["text"] if one else None for one in chosen] if chosen else _given(answers)
            columns |= _classes(metric, known, held_out, outputs)
        elif metric.asks == "rank":
            columns |= _ranks(metric, likelihoods[metric.column])
        elif metric.asks == "choice":
            columns[metric.column] = [
                float(likeliest is not None and likeliest["text"] == reference)
                for likeliest, reference in zip(likelihoods[metric.column], references, strict=True)
            ]
        else:
            score = scorer(metric, scoring)
            parts = ("output", "reference") if metric.of == "answer" else ("reasoning", "reference_reasoning")
            pairs = zip(*(columns[part] for part in parts), strict=True)
            call_facts = facts if metric.of == "answer" else [{}] * len(facts)
            columns[metric.column] = [
                score(output, reference, extras(row) | more) if answer.finish not in UNANSWERED else 0.0
                for row, answer, (output, reference), more in zip(held_out, answers, pairs, call_facts, strict=True)
            ]
    return columns


def write(file: Path, columns: Columns, metrics: list[Metric]) -> None:
    """Write `columns` as Parquet: scores as float64, the rest as text and whole numbers."""
    import pyarrow as pa

    texts = RESERVED - {"tokens"}
    texts |= {name for metric in metrics if metric.classes for name in class_columns(metric.column)}
    integers = {name for name in columns if name == "tokens" or name.endswith("_tokens")}
    kinds = {
        name: pa.string() if name in texts else pa.int64() if name in integers else pa.float64() for name in columns
    }
    write_table(file, {name: column(values, kinds[name]) for name, values in columns.items()})


def _given(answers: list[Answer]) -> list[str | None]:
    return [answer.text if answer.finish not in UNANSWERED else None for answer in answers]


def _classes(metric: Metric, known: Classes, held_out: list[dict[str, Any]], outputs: list[str | None]) -> Columns:
    """Whether each row is right, for each score of the metric, and its class and that of the answer.

    Of any number of classes a row: how far it is right, which the last score counts only where all of it is.
    """
    named = [None if text is None else known.named(text) for text in outputs]
    truth = [known.of_row(row) for row in held_out]
    right = [float(one == other) for one, other in zip(truth, named, strict=True)]
    columns: Columns = dict.fromkeys(metric.scores, right)
    if metric.several:
        sets = zip(as_sets(truth), as_sets(named), strict=True)
        shares = [row_f1(one or frozenset(), other) for one, other in sets]
        columns |= dict.fromkeys(metric.scores[:-1], shares)
    of_reference, of_answer = class_columns(metric.column)
    return {**columns, of_reference: truth, of_answer: named}


def _ranks(metric: Metric, ranked: list[dict[str, Any] | None]) -> Columns:
    """Each score of the metric, whose own names stand in `ranked`."""
    own = METRICS[metric.kind].scores
    return {
        column: [one[name] if one else 0.0 for one in ranked] for column, name in zip(metric.scores, own, strict=True)
    }


def _losses(column: str, likelihoods: list[dict[str, Any] | None]) -> Columns:
    if not any(entry and entry["tokens"] for entry in likelihoods):
        raise InputError(f"evaluate: {column}: no reference fits into the model's context; use shorter rows.")
    return {
        column: [-entry["value"] / entry["tokens"] if entry and entry["tokens"] else None for entry in likelihoods],
        f"{column}_tokens": [entry["tokens"] if entry else 0 for entry in likelihoods],
    }
