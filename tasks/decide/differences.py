"""Rows that two runs answered differently: `python -m tasks.decide.differences FIRST.parquet SECOND.parquet ROWS`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.errors import InputError
from tasks.core.numbers import counted, metric_name, shown
from tasks.core.reporting import guarded
from tasks.rows.parquet import read_table
from tasks.statistics.effect import effect
from tasks.statistics.intervals import perplexity, weights
from tasks.statistics.p_value import describe_p_value
from tasks.statistics.paired import compare


def differences(first: Path, second: Path, most: int) -> Iterator[str]:
    """Lines for a person: each metric on the rows that both have, an empty one, then up to `most` rows that differ."""
    (one, scores), (two, others) = _rows(first), _rows(second)
    shared = [row for row in one if row in two]
    if not shared:
        raise InputError("the two runs share no evaluated row, so their answers cannot be compared.")
    alone = f"{len(one) - len(shared)} in the first alone, {len(two) - len(shared)} in the second alone"
    yield f"  {len(shared)} in both, {alone}"
    metrics = [name for name in scores if name in others]
    for metric in metrics:
        both = [row for row in shared if one[row][metric] is not None and two[row][metric] is not None]
        if both:
            change = _compared(metric, [one[row] for row in both], [two[row] for row in both])
            yield f"  {metric_name(metric)}: {change}"
    unlike = [row for row in shared if one[row]["output"] != two[row]["output"]]
    yield f"  {counted(len(unlike), 'answers')} {'differs' if len(unlike) == 1 else 'differ'}"
    unlike.sort(
        key=lambda row: tuple(
            two[row][metric] - one[row][metric] for metric in metrics if _known(one, two, row, scores, others)
        )
    )
    yield ""
    for row in unlike[:most]:
        yield f"  {row}"
        yield f"    reference  {_line(one[row]['reference'])}"
        yield f"    first      {_line(one[row]['output'])}"
        yield f"    second     {_line(two[row]['output'])}"


def _compared(metric: str, one: list[dict[str, Any]], two: list[dict[str, Any]]) -> str:
    """The same rows of both runs by `metric`; of losses, which have their tokens beside them, the perplexities."""
    scores = [[row[metric] for row in rows] for rows in (one, two)]
    tokens = [row[f"{metric}_tokens"] for row in one if row.get(f"{metric}_tokens") is not None]
    is_loss = len(tokens) == len(one) and sum(tokens) > 0
    if not is_loss:
        result = {"better": "higher"} | compare(scores[1], scores[0])
        change, more, less, start = effect(result), "higher", "lower", ""
    else:
        goodness = [-np.array(losses, float) * weights(tokens) for losses in scores]
        result = {"better": "lower"} | compare(goodness[1], goodness[0])
        change, more, less = effect(result), "lower", "higher"
        values = [shown(perplexity(losses, tokens)["value"]) for losses in scores]
        start = f"{values[0]} -> {values[1]}, "
    return (
        f"{start}{change.value} (95 % interval {change.low} to {change.high}, {describe_p_value(result['p'])}); "
        f"{counted(result['wins'], 'rows')} {more}, {result['losses']:,} {less}, {result['ties']:,} level"
    )


def _rows(file: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Rows by id, and the columns that are scores: numbers that are no counts."""
    import pyarrow as pa

    if not file.is_file():
        raise InputError(f"{file}: no such file; run the stage evaluate first.")
    table = read_table(file)
    scores = [column.name for column in table.schema if pa.types.is_floating(column.type)]
    return {row["id"]: row for row in table.to_pylist()}, scores


def _known(one: dict[str, Any], two: dict[str, Any], row: str, scores: list[str], others: list[str]) -> bool:
    return all(run[row][name] is not None for run, names in ((one, scores), (two, others)) for name in names)


def _line(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= 100 else shown[:97] + "..."


def _print(first: str, second: str, most: str) -> None:
    for line in differences(Path(first), Path(second), int(most)):
        print(line)


if __name__ == "__main__":
    sys.exit(guarded("decide", lambda: _print(*sys.argv[1:])))
