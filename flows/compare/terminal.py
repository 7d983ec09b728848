"""Runs, bases and history in a terminal of 80 columns."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from rich.cells import cell_len, set_cell_size

from flows.compare.leaderboard import Entry, Leaderboard
from flows.compare.production import GAIN, Promotion
from flows.compare.runs import Run, test_sets
from flows.compare.scores import Score
from flows.results.decision import rule_lines
from tasks.core.numbers import duration, enumerated, metric_name
from tasks.statistics.effect import gained

WIDTH = 80
"""Columns of a narrow terminal."""

SHOWN = 25
"""Runs that are listed; the page has all."""

ABSENT = "-"


def plain(text: str) -> str:
    """A text of strangers on one line, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


def cut(text: str, width: int) -> str:
    """A text of strangers in `width` columns at most; what is cut ends in `…`."""
    line = plain(text)
    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1).rstrip()}…"


def run_lines(all_runs: Sequence[Run]) -> Iterator[str]:
    """Two lines a run or more: its result, and what changed before it, inputs first.

    A run of several that were scored on different test rows has the letter of its rows.
    """
    letters = test_sets(all_runs[:SHOWN])
    metrics = {str(run.decision["metric"]) for run in all_runs if run.decision}
    title = metric_name(metrics.pop()) if len(metrics) == 1 else "score"
    yield _columns(("run", "commit", cut(title, 21), "gain", "promotion"), RUN_WIDTHS)
    for run in all_runs[:SHOWN]:
        score, gain = ABSENT, ABSENT
        if decision := run.decision:
            score = _interval(Score(decision["value"], decision["low"], decision["high"]))
            gain = gained(decision["gain"], str(decision.get("better")))
        word, _, against = run.verdict.partition(": ")
        fits = cell_len(run.verdict) <= RUN_WIDTHS[-1]
        yield _columns((run.name, run.commit[:8], score, gain, run.verdict if fits else word), RUN_WIDTHS)
        if not fits:
            yield f"  {cut(f'{word} by: {against}', WIDTH - 2)}"
        rows = f"test rows {letters[run.test_rows]}" if run.test_rows in letters else ""
        yield from _items([*filter(None, [rows]), *run.changed])
    if letters:
        yield f"Test rows differ ({enumerated([*letters.values()])}): compare scores only under the same letter."
    if len(all_runs) > SHOWN:
        yield f"{len(all_runs) - SHOWN:,} older runs are only on the page."


RUN_WIDTHS = (22, 8, 21, 7, 18)

LINES = 4
"""Lines for what changed before a run; the page has all of it."""


def _items(items: Sequence[str]) -> Iterator[str]:
    """Items on a few indented lines, none of them broken; those that have no room are counted."""
    lines: list[str] = []
    for number, item in enumerate(items):
        text = cut(item, WIDTH - 3)
        if lines and cell_len(lines[-1]) + 1 + cell_len(text) < WIDTH:
            lines[-1] += f" {text};"
        elif len(lines) == LINES:
            lines.append(f"  and {len(items) - number} more;")
            break
        else:
            lines.append(f"  {text};")
    yield from (line.removesuffix(";") if line is lines[-1] else line for line in lines)


def board_lines(board: Leaderboard) -> Iterator[str]:
    """A line for each base and task: base, tuned, with intervals; then what the training took."""
    for entry in board.entries:
        others = board.others.get(entry.base, 0)
        yield cut(f"{entry.base}  ({entry.run}{f', the best of {others + 1} runs' if others else ''})", WIDTH)
        yield f"  {_columns(('', 'base', 'tuned'), BOARD_WIDTHS)}"
        for task in board.tasks:
            before, after = board.cell(entry, task)
            name = _task_and_metric(task[0].replace("_", " "), metric_name(task[1]))
            yield f"  {_columns((name, *(_interval(score) for score in (before, after))), BOARD_WIDTHS)}"
        yield f"  training: {_price(entry)}"


BOARD_WIDTHS = (32, 22, 22)


def _task_and_metric(task: str, metric: str) -> str:
    """Both in the first column, where the task gives way: many differ in their metric alone."""
    room = BOARD_WIDTHS[0] - cell_len(metric) - 1
    return f"{cut(task, max(room, 8))} {metric}" if task else metric


def _price(entry: Entry) -> str:
    if entry.training is None:
        return "duration unknown"
    cost = "" if entry.cost is None else f", {entry.cost:.2f} at machine.price"
    return f"{duration(entry.training)}{cost}"


def history_lines(
    history: Iterable[Promotion], names: dict[str, str], decisions: Mapping[str, dict[str, Any]]
) -> Iterator[str]:
    """Some lines for each time that a model got a stage, or lost it: its score and rules where it is named first.

    `names`: of runs, by commit; `decisions`: what `decide` wrote there, as far as it can be read.
    """
    listed: set[str] = set()
    for number, one in enumerate(history):
        if number:
            yield ""
        what = f"{one.stage} taken back" if one.revoked else one.stage
        now = "   (now)" if one.current else ""
        yield cut(f"{one.when[:16].replace('T', ' ')}  {what}  {one.version}{now}", WIDTH)
        yield f"  {cut(_named(one.commit, names) + (f', by {one.who}' if one.who else ''), WIDTH - 2)}"
        if one.replaced and one.replaced != one.commit:
            yield f"  {cut(f'replaced {_named(one.replaced, names)}', WIDTH - 2)}"
        decision = decisions.get(one.commit, {})
        rules = rule_lines(decision) if decision.get("rules") else []
        score, why = one.scores, one.why
        if rules:  # these say the gain too, and what the reason sums up
            score = "" if one.commit in listed else score.partition(GAIN)[0]
            why = why.removesuffix(plain(decision["reason"])).rstrip(": ")
            rules = [] if one.commit in listed else rules
        listed.add(one.commit)
        for line in filter(None, (why if rules else "", score, "" if rules else why, *rules)):
            indent = "    " if line in rules else "  "
            yield from wrap(plain(line), WIDTH, initial_indent="  ", subsequent_indent=indent)


def _named(commit: str, names: dict[str, str]) -> str:
    return " ".join(filter(None, (names.get(commit, ""), commit[:10])))


def _interval(score: Score | None) -> str:
    if score is None:
        return ABSENT
    known = not (math.isnan(score.low) or math.isnan(score.high))
    return f"{score.value:.3f} {f'({score.low:.3f}-{score.high:.3f})' if known else ''}".rstrip()


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Cells in columns one space apart, each cut to its width."""
    padded = (set_cell_size(cut(cell, width), width) for cell, width in zip(cells, widths, strict=True))
    return " ".join(padded).rstrip()
