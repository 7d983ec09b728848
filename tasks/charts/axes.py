"""Axes: values to coordinates, round numbers to mark, and the grid at them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log10

from tasks.charts.svg import Point, element, number, text


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` as coordinates from `start` to `end`; equal ones stand in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


def ticks(lowest: float, highest: float) -> list[float]:
    """Round numbers from below `lowest`, or 0, to above `highest`, or 0: two of them at least, and about six."""
    low, high = min(lowest, 0.0), max(highest, 0.0)
    rough = max(high - low, 1e-9) / 5
    size = 10 ** floor(log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    return [step * count for count in range(floor(low / step), max(ceil(high / step), 1) + 1)]


def heights(y: Scale, marks: Mapping[float, str], left: float, right: float) -> str:
    """Horizontal lines at values of `y`, each with its mark to the left."""
    return "".join(
        _grid((left, y(value)), f"H{number(right)}") + _left(y(value), left, marks[value]) for value in marks
    )


def columns(x: Scale, marks: Mapping[float, str], top: float, bottom: float) -> str:
    """Vertical lines at values of `x`, each with its mark below."""
    return "".join(
        _grid((x(value), top), f"V{number(bottom)}") + below(x(value), bottom, marks[value]) for value in marks
    )


def below(x: float, bottom: float, mark: str) -> str:
    """A mark under a plot."""
    return text(mark, (x, bottom + 18), "tick")


def title_below(words: str, left: float, right: float, bottom: float) -> str:
    """What a horizontal axis counts."""
    return text(words, ((left + right) / 2, bottom + 38), "tick")


def _left(y: float, left: float, mark: str) -> str:
    return text(mark, (left - 10, y + 4), "tick", "end")


def _grid(start: Point, to: str) -> str:
    return element("path", class_="grid", d=f"M{number(start[0])},{number(start[1])}{to}")
