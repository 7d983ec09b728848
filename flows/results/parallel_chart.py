"""Trials as parallel coordinates: an axis for each value, a line for each trial, dark where it did well."""

import base64
import math
from collections.abc import Callable
from html import escape
from typing import Any

WIDTH, HEIGHT, SIDE, TOP, FOOT = 760, 320, 70, 34, 24
WORST, BEST = (224, 214, 200), (31, 78, 121)
"""Colours of the lowest place and of the first; they differ in lightness, too."""


def svg(rows: list[dict[str, Any]]) -> str:
    """Draw `rows`, the best first, each with the same keys; the last one is the score. As Markdown with the picture."""
    names = list(rows[0]) if rows else []
    if len(names) < 2:
        return "No trial ended."
    gap = (WIDTH - 2 * SIDE) / (len(names) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
    ]
    heights: dict[str, Callable[[Any], float | None]] = {}
    for index, name in enumerate(names):
        across = SIDE + index * gap
        heights[name], marks = _axis([row[name] for row in rows])
        parts.append(f'<path d="M{across:.1f} {TOP}V{HEIGHT - FOOT}" stroke="#999999"/>')
        parts.append(f'<text x="{across:.1f}" y="16" text-anchor="middle" fill="#222222">{escape(name)}</text>')
        for text, mark in marks:
            parts.append(f'<text x="{across + 5:.1f}" y="{_down(mark) + 4:.1f}" fill="#555555">{escape(text)}</text>')
    for place in range(len(rows) - 1, -1, -1):  # the best on top
        row = rows[place]
        share = 1 - place / max(len(rows) - 1, 1)
        colour = ",".join(str(round(low + (high - low) * share)) for low, high in zip(WORST, BEST, strict=True))
        points = [
            f"{SIDE + index * gap:.1f} {_down(height):.1f}"
            for index, name in enumerate(names)
            if (height := heights[name](row[name])) is not None
        ]
        parts.append(f'<path d="M{"L".join(points)}" fill="none" stroke="rgb({colour})" stroke-width="2"/>')
    picture = base64.b64encode(("".join(parts) + "</svg>").encode()).decode()
    return f"![parallel coordinates](data:image/svg+xml;base64,{picture})"


def _axis(values: list[Any]) -> tuple[Callable[[Any], float | None], list[tuple[str, float]]]:
    """Where each value stands on its axis (0 to 1, None for no value), and the marks to write beside it."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        kinds = sorted({str(value) for value in known})
        places = {kind: (index + 0.5) / len(kinds) for index, kind in enumerate(kinds)}
        return lambda value: None if value is None else places[str(value)], list(places.items())
    if not known:
        return lambda value: None, []
    low, high = min(known), max(known)
    scale: Callable[[float], float] = math.log if low > 0 and high / low >= 10 else float
    span = scale(high) - scale(low)

    def height(value: Any) -> float | None:
        if value is None:
            return None
        return (scale(value) - scale(low)) / span if span else 0.5

    ends = sorted({low, high})
    return height, [(f"{value:.4g}", height(value) or 0.0) for value in ends]


def _down(height: float) -> float:
    return HEIGHT - FOOT - height * (HEIGHT - FOOT - TOP)
