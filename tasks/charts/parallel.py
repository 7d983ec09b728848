"""Parallel coordinates: an axis for each value, a line for each row, dark where it did well."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasks.charts.axes import Scale
from tasks.charts.svg import Picture, element, number, path, text
from tasks.core.numbers import shown

WIDTH, HEIGHT, SIDE, TOP, BOTTOM = 760, 320, 70, 34, 296
WORST, BEST = (224, 214, 200), (31, 78, 121)
"""Colours of the last row and of the first; they differ in lightness, too."""

Position = Callable[[Any], float | None]
"""Where a value stands on its axis; None for no value."""


def parallel_chart(rows: Sequence[Mapping[str, Any]], label: str) -> Picture:
    """Draw `rows`, the best first, each with the same two keys or more."""
    names = list(rows[0])
    across = Scale(0, len(names) - 1, SIDE, WIDTH - SIDE)
    positions: list[Position] = []
    body = []
    for index, name in enumerate(names):
        position, marks = _axis([row[name] for row in rows])
        positions.append(position)
        x = across(index)
        body += [element("path", class_="axis", d=f"M{number(x)},{TOP}V{BOTTOM}"), text(name, (x, 16), "name")]
        body += [text(mark, (x + 5, y + 4), "tick", "start") for mark, y in marks]
    for index, row in reversed(list(enumerate(rows))):  # the best on top
        share = 1 - index / max(len(rows) - 1, 1)
        colour = ",".join(str(round(low + (high - low) * share)) for low, high in zip(WORST, BEST, strict=True))
        heights = [position(row[name]) for name, position in zip(names, positions, strict=True)]
        points = [(across(at), height) for at, height in enumerate(heights) if height is not None]
        body.append(path(points, "row", stroke=f"rgb({colour})"))
    return Picture(WIDTH, HEIGHT, label, "".join(body))


def _axis(values: list[Any]) -> tuple[Position, list[tuple[str, float]]]:
    """Where each value stands, and the marks to write beside the axis."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        kinds = sorted({str(value) for value in known})
        spots = {kind: Scale(0, len(kinds), BOTTOM, TOP)(index + 0.5) for index, kind in enumerate(kinds)}
        return lambda value: None if value is None else spots[str(value)], list(spots.items())
    if not known:
        return lambda value: None, []
    low, high = min(known), max(known)
    size: Callable[[float], float] = math.log if low > 0 and high / low >= 10 else float
    scale = Scale(size(low), size(high), BOTTOM, TOP)
    marks = [(shown(value), scale(size(value))) for value in sorted({low, high})]
    return lambda value: None if value is None else scale(size(value)), marks
