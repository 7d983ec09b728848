"""Bars, and points with intervals, on a scale of shares; counts as a histogram."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks.charts.axes import Scale, below, columns, heights, ticks, title_below
from tasks.charts.svg import Picture, element, number, path, text
from tasks.core.numbers import shown

WIDTH = 760
LEFT, RIGHT, TOP = 190, 664, 8
"""Edges of a plot of shares, between names and numbers."""

SHARES = Scale(0.0, 1.0, LEFT, RIGHT)


class Interval(NamedTuple):
    """A share with its interval, all from 0 to 1."""

    value: float
    low: float
    high: float


class Bar(NamedTuple):
    """A named share; `kind` is the class that colours it."""

    name: str
    kind: str
    share: Interval


def bars(lines: Sequence[Bar], label: str) -> Picture:
    """One bar a line on a scale from 0 to 100 %, its interval as a whisker."""
    step = 34
    body = []
    for index, (name, kind, share) in enumerate(lines):
        middle = TOP + step * (index + 0.5)
        value, low, high = map(SHARES, share)
        body += [
            text(name, (LEFT - 14, middle + 5), "name", "end"),
            element("rect", class_=f"bar {kind}", x=LEFT, y=middle - 8, width=max(value - LEFT, 1.5), height=16, rx=3),
            path([(low, middle), (high, middle)], "whisker"),
            *(path([(end, middle - 4), (end, middle + 4)], "whisker") for end in (low, high)),
            text(f"{100 * share.value:.1f} %", (RIGHT + 18, middle + 5), "number", "start"),
        ]
    return _shares(body, step * len(lines), label)


def dots(lines: Sequence[tuple[str, Mapping[int, Interval]]], series: int, label: str) -> Picture:
    """For each named line a point with its interval in each of `series` colours, where it has one, from 0 to 100 %."""
    step = 20 + 14 * series
    body = []
    for index, (name, shares) in enumerate(lines):
        middle = TOP + step * (index + 0.5)
        body.append(text(name, (LEFT - 14, middle + 5), "name", "end"))
        for at, share in shares.items():
            kind, y = f"series{at % 4}", middle + 14 * (at - (series - 1) / 2)
            value, low, high = map(SHARES, share)
            body += [path([(low, y), (high, y)], kind), element("circle", class_=kind, cx=value, cy=y, r=4.5)]
    return _shares(body, step * len(lines), label)


def histogram(ranges: Sequence[str], counts: Mapping[int, Sequence[int]], x: str, label: str) -> Picture:
    """For each range a bar in each colour, by number; as many counts a colour as ranges, one of them at least.

    `x`: what the ranges are of.
    """
    left, right, top, bottom = 56, WIDTH - 24, 14, 196
    marks = ticks(0, max(max(values) for values in counts.values()))
    down, room = Scale(marks[0], marks[-1], bottom, top), (right - left) / len(ranges)
    width = room * 0.8 / len(counts)
    body = [heights(down, {mark: shown(mark) for mark in marks}, left, right)]
    for at, words in enumerate(ranges):
        start = left + room * at
        body.append(below(start + room / 2, bottom, words))
        for slot, (series, values) in enumerate(counts.items()):
            y, bar = down(values[at]), start + room * 0.1 + width * slot
            body.append(element("rect", class_=f"series{series}", x=bar, y=y, width=width, height=bottom - y))
    body.append(title_below(x, left, right, bottom))
    return Picture(WIDTH, bottom + 44, label, "".join(body))


def _shares(body: Sequence[str], height: float, label: str) -> Picture:
    scale = columns(SHARES, {part / 4: f"{number(25 * part)} %" for part in range(5)}, TOP, TOP + height)
    return Picture(WIDTH, TOP + height + 26, label, scale + "".join(body))
