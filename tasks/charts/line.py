"""Lines over steps: the first as it is, the others as dots on a dashed line, for they are measured less often."""

from collections.abc import Mapping, Sequence

from tasks.charts.axes import Scale, below, heights, ticks, title_below
from tasks.charts.svg import Picture, Point, element, path, text
from tasks.core.numbers import shown

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 700, 30, 254
"""Edges of the plot."""


def line_chart(lines: Mapping[str, Sequence[Point]], x: str, y: str, label: str) -> Picture:
    """Draw each named line (points of step and value, not all empty) from step 0 on, with 0 among the values.

    `x`: what is counted along. `y`: what the values are. `label`: what the picture shows.
    """
    points = [point for line in lines.values() for point in line]
    last = max(step for step, _ in points) or 1.0
    marks = ticks(min(value for _, value in points), max(value for _, value in points))
    across, down = Scale(0.0, last, LEFT, RIGHT), Scale(marks[0], marks[-1], BOTTOM, TOP)
    body = [heights(down, {mark: shown(mark) for mark in marks}, LEFT, RIGHT)]
    body += [below(across(mark), BOTTOM, shown(mark)) for mark in ticks(0.0, last) if mark <= last]
    body += [title_below(x, LEFT, RIGHT, BOTTOM), text(y, (LEFT - 10, TOP - 14), "tick", "end")]
    for series, (name, line) in enumerate(lines.items()):
        kind, dash = f"series{series}", {"stroke_dasharray": "5 4"} if series else {}
        drawn = [(across(step), down(value)) for step, value in line]
        body.append(path(drawn, kind, name, **dash))
        body += [element("circle", class_=kind, cx=cx, cy=cy, r=3.5) for cx, cy in drawn if series]
        body.append(_key(name, LEFT + 24 + 130 * series, kind, dash))
    return Picture(WIDTH, HEIGHT, label, "".join(body))


def _key(name: str, left: float, kind: str, dash: Mapping[str, str]) -> str:
    middle = TOP - 18
    sample = path([(left, middle), (left + 24, middle)], kind, **dash)
    return sample + text(name, (left + 32, middle + 4), "tick", "start")
