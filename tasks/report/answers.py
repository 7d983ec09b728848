"""Answers of the candidates to some rows, side by side, and where each differs from the reference."""

import re
from typing import Any

from tasks.report.gather import RunResults
from tasks.report.render import TUNED, display_name, metric, small


def samples(results: RunResults, count: int) -> list[dict[str, Any]]:
    """Rows with every answer side by side: those the tuned model has wrong, then those that only a
    quantised one has wrong, then right ones."""
    rows = results.predictions[TUNED]
    quantised = [results.predictions[key] for key in small(results)]

    def rank(number: int) -> int:
        if not right(rows[number], results):
            return 0
        return 2 if all(right(answers[number], results) for answers in quantised) else 1

    chosen = sorted(range(len(rows)), key=lambda number: (rank(number), number))[:count]
    return [
        {
            "id": rows[number]["id"],
            "slice": rows[number]["slice"],
            "prompt": rows[number]["prompt"],
            "reference": rows[number]["reference"],
            "answers": _answers(results, number),
        }
        for number in chosen
    ]


def _answers(results: RunResults, number: int) -> list[dict[str, Any]]:
    """What the candidates answered to row `number`; those that said the same stand together."""
    by_output: dict[str, list[str]] = {}
    for key, rows in results.predictions.items():
        by_output.setdefault(rows[number]["output"], []).append(key)
    row = results.predictions[TUNED][number]
    return [
        {
            "names": [display_name(results, key) for key in keys],
            "right": right(results.predictions[keys[0]][number], results),
            "parts": diff_parts(row["reference"], output),
        }
        for output, keys in by_output.items()
    ]


def right(row: dict[str, Any], results: RunResults) -> bool:
    """Whether a prediction has the full score of the metric that decides; by a loss none is right or wrong."""
    value = row[metric(results)]
    return (
        value is not None and value >= 1.0 and results.scores[TUNED]["metrics"][metric(results)]["better"] == "higher"
    )


def diff_parts(reference: str, output: str) -> tuple[str, str, str]:
    """`output` cut in three: words shared with the start of `reference`, what differs, words shared with its end."""
    expected, actual = (re.findall(r"\s+|\S+", text) for text in (reference, output))
    most = min(len(expected), len(actual))
    start = next((index for index in range(most) if expected[index] != actual[index]), most)
    end = next((index for index in range(most - start) if expected[-1 - index] != actual[-1 - index]), most - start)
    last = len(actual) - end
    return "".join(actual[:start]), "".join(actual[start:last]), "".join(actual[last:])
