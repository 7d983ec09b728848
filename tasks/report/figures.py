"""Figures as inline SVG, drawn with the page's own colours so that they follow light, dark and print.

Text that comes from data is escaped by `Markup.format`.
"""

from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

WIDTH = 760
LEFT, RIGHT = 190, 96
"""Room for names and for numbers beside a plot, in units of the view box."""

Point = tuple[float, float]


def intervals(lines: list[dict[str, Any]]) -> Markup:
    """One bar a line on a scale from 0 to 100 %, its 95 % interval as a whisker.

    `lines`: name, kind (a class: before, tuned, small), value, low, high as shares of 1.
    """
    step, top = 34, 8
    height = top + step * len(lines) + 26
    body = [_scale(top, top + step * len(lines))]
    for number, line in enumerate(lines):
        middle = top + step * number + step / 2
        low, high, value = (_across(line[name]) for name in ("low", "high", "value"))
        body.append(
            Markup(
                '<text class="name" x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect class="bar {}" x="{}" y="{}" width="{}" height="16" rx="3"/>'
                '<path class="whisker" d="M{} {}H{}M{} {}v8M{} {}v8"/>'
                '<text class="number" x="{}" y="{}">{} %</text>'
            ).format(
                LEFT - 14,
                _n(middle + 5),
                line["name"],
                line["kind"],
                LEFT,
                _n(middle - 8),
                _n(max(value - LEFT, 1.5)),
                _n(low),
                _n(middle),
                _n(high),
                _n(low),
                _n(middle - 4),
                _n(high),
                _n(middle - 4),
                WIDTH - RIGHT + 18,
                _n(middle + 5),
                f"{100 * line['value']:.1f}",
            )
        )
    return _svg(height, "Exact match of each candidate with its 95 % interval", body)


def slices(lines: list[dict[str, Any]], names: list[str]) -> Markup:
    """For each line and each slice a point with its interval, one colour a slice, on a scale from 0 to 100 %.

    `lines`: name, slices (name to value, low, high as shares of 1).
    """
    step, top = 20 + 14 * len(names), 8
    height = top + step * len(lines) + 26
    body = [_scale(top, top + step * len(lines))]
    for number, line in enumerate(lines):
        start = top + step * number
        body.append(
            Markup('<text class="name" x="{}" y="{}" text-anchor="end">{}</text>').format(
                LEFT - 14, _n(start + step / 2 + 5), line["name"]
            )
        )
        for place, name in enumerate(names):
            if found := line["slices"].get(name):
                y = _n(start + step / 2 + 14 * (place - (len(names) - 1) / 2))
                low, high, value = (_n(_across(found[key])) for key in ("low", "high", "value"))
                body.append(
                    Markup(
                        '<path class="series{}" d="M{} {}H{}"/><circle class="series{}" cx="{}" cy="{}" r="4.5"/>'
                    ).format(place % 4, low, y, high, place % 4, value, y)
                )
    return _svg(height, "Exact match by slice with 95 % intervals", body)


SPLITS = ("train", "validation", "test")
"""Splits in the order of their colours."""


def lengths(edges: list[int], rows: dict[str, list[int]], unit: str) -> Markup:
    """Rows by length: for each range of characters or tokens from an edge to the next a bar, one colour a split.

    `rows`: split to a count for each range; the last one is open. Ranges beyond the longest row are not drawn.
    """
    used = max((at + 1 for counts in rows.values() for at, count in enumerate(counts) if count), default=0)
    if not used:
        return Markup("")
    splits = [name for name in SPLITS if any(rows.get(name, ()))]
    height, bottom, top = 240, 196, 14
    ticks = _ticks(0, max(max(rows[name]) for name in splits))
    body = []
    for tick in ticks:
        y = _n(bottom - (bottom - top) * tick / ticks[-1])
        body.append(
            Markup(
                '<path class="grid" d="M56 {}H{}"/><text class="tick" x="46" y="{}" text-anchor="end">{}</text>'
            ).format(y, WIDTH - 24, _n(float(y) + 4), f"{tick:,g}")
        )
    room = (WIDTH - 56 - 24) / used
    for at in range(used):
        start = 56 + room * at
        body.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                _n(start + room / 2), bottom + 18, f"{edges[at]:,}+"
            )
        )
        for place, name in enumerate(splits):
            tall = (bottom - top) * rows[name][at] / ticks[-1]
            width = room * 0.8 / len(splits)
            body.append(
                Markup('<rect class="series{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    SPLITS.index(name), _n(start + room * 0.1 + width * place), _n(bottom - tall), _n(width), _n(tall)
                )
            )
    body.append(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{} of a row</text>').format(
            _n(56 + (WIDTH - 80) / 2), bottom + 38, unit
        )
    )
    return _svg(height, f"Rows by length in {unit}", body)


def measured(rows: list[dict[str, float | None]]) -> str:
    """What a curve is of: loss; or reward, where the model's own answers were rewarded, for the loss says nothing."""
    return "reward" if _points(rows, "reward") else "loss"


def curve(rows: list[dict[str, float | None]]) -> Markup:
    """Loss, or reward, over steps: training as a line, validation as points joined by a dashed line."""
    height, bottom, top = 260, 224, 14
    what = measured(rows)
    train = _points(rows, what)
    validation = _points(rows, "eval_loss") if what == "loss" else []
    if not train:
        return Markup("")
    last = max(step for step, _ in train + validation)
    values = [value for _, value in train + validation]
    ticks = _ticks(min(values), max(values))

    def place(point: Point) -> Point:
        share = (point[1] - ticks[0]) / (ticks[-1] - ticks[0])
        return 56 + (WIDTH - 56 - 24) * point[0] / last, bottom - (bottom - top) * share

    body = []
    for tick in ticks:
        y = _n(place((0, tick))[1])
        body.append(
            Markup(
                '<path class="grid" d="M56 {}H{}"/><text class="tick" x="46" y="{}" text-anchor="end">{}</text>'
            ).format(y, WIDTH - 24, _n(float(y) + 4), f"{tick:g}")
        )
    for part in range(5):
        step = round(last * part / 4)
        body.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                _n(place((step, 0))[0]), bottom + 18, step
            )
        )
    body.append(Markup('<path class="line" d="{}"/>').format(_path([place(point) for point in train])))
    if validation:
        body.append(Markup('<path class="line validation" d="{}"/>').format(_path([place(p) for p in validation])))
        body += [
            Markup('<circle class="validation" cx="{}" cy="{}" r="3.5"/>').format(*map(_n, place(p)))
            for p in validation
        ]
    return _svg(height, f"{what.capitalize()} over training steps", body)


def _svg(height: float, label: str, body: list[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, _n(height), label, Markup("").join(body)
    )


def _scale(top: float, bottom: float) -> Markup:
    """Vertical lines at 0, 25, 50, 75 and 100 %."""
    return Markup("").join(
        Markup(
            '<path class="grid" d="M{} {}V{}"/><text class="tick" x="{}" y="{}" text-anchor="middle">{} %</text>'
        ).format(_n(_across(part / 4)), _n(top), _n(bottom), _n(_across(part / 4)), _n(bottom + 18), 25 * part)
        for part in range(5)
    )


def _across(share: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * share


def _points(rows: list[dict[str, float | None]], name: str) -> list[Point]:
    found = []
    for row in rows:
        step, value = row.get("step"), row.get(name)
        if step is not None and value is not None:
            found.append((step, value))
    return found


def _path(points: list[Point]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _ticks(lowest: float, highest: float) -> list[float]:
    """Round numbers from below `lowest`, or 0, to above `highest`, or 0: two of them at least, and about six."""
    low, high = min(lowest, 0.0), max(highest, 0.0)
    rough = max(high - low, 1e-9) / 5
    size = 10 ** floor(log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    return [step * number for number in range(floor(low / step), max(ceil(high / step), 1) + 1)]


def _n(value: float) -> str:
    """A coordinate with one decimal at most: short, and the same on every machine."""
    return f"{value:.1f}".removesuffix(".0")
