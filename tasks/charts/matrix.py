"""Counts by two names, such as the class of a row and that of its answer, as a square of tinted cells."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from unicodedata import east_asian_width

from tasks.charts.svg import Anchor, Picture, Point, element, text

WIDTH = 760
LEFT = 216
"""Room for names."""

TOP = 34
CELL = 30
"""Edge of a cell, where there are few."""

LINE = 13
"""Height of a row, at least, so that its name can be read however many there are; the columns are narrower then."""

BESIDE = 30
"""Room that half of the name of the last column takes."""

FAINTEST = 0.3
"""Opacity of a cell with hardly any of its row's counts."""

LONGEST = 26
"""Characters of a name, wide ones twice; the whole one is shown under the mouse."""


def matrix(names: Sequence[str], counts: Mapping[tuple[int, int], int], last: str, label: str) -> Picture:
    """Cells by row and column, numbers into `names`; the column behind them is `last`.

    A cell is as dark as its share of its row's counts. Columns are numbered as the rows are, which have their names.
    """
    edge = min(CELL, (WIDTH - LEFT - 8) / (len(names) + 1.5))
    high = max(edge, LINE)
    size = min(12.0, high - 2)
    gap = edge / 2  # before the column that is no name
    totals = [sum(count for (row, _), count in counts.items() if row == at) for at in range(len(names))]

    def x(column: int) -> float:
        return LEFT + edge * column + (gap if column == len(names) else 0)

    body = [
        element("rect", class_="grid", x=left, y=TOP, width=width, height=high * len(names), fill="none")
        for left, width in ((LEFT, edge * len(names)), (x(len(names)), edge))
    ]
    every = max(1, round(22 / edge))  # so that numbers do not touch
    for at, name in enumerate(names):
        level = TOP + high * (at + 0.5)
        body.append(_sized(f"{_shortened(name)} · {at + 1}", (LEFT - 6, level + size * 0.35), size, "end"))
        if (at + 1) % every == 0 or at == 0:
            body.append(text(str(at + 1), (x(at) + edge / 2, TOP - 8), "tick"))
    middle = x(len(names)) + edge / 2
    roomy = edge == CELL and middle + BESIDE <= WIDTH  # above its column alone; else left of there, above the numbers
    body.append(text(last, (middle, TOP - 8), "tick") if roomy else text(last, (middle, TOP - 20), "tick", "end"))
    for (row, column), count in sorted(counts.items()):
        share = count / totals[row]
        kind = "cell right" if row == column else "cell wrong"
        answer = last if column == len(names) else names[column]
        title = element("title", escape(f"{names[row]}, answered {answer}: {count} of {totals[row]}"))
        box = {"x": x(column), "y": TOP + high * row, "width": edge - 1, "height": high - 1}
        opacity = f"{FAINTEST + (1 - FAINTEST) * share:.2f}"
        body.append(element("rect", title, class_=kind, fill_opacity=opacity, **box))
        if edge >= 20:
            body.append(_sized(str(count), (x(column) + edge / 2, TOP + high * (row + 0.5) + 4), 11, "middle"))
    return Picture(WIDTH, TOP + high * len(names) + 6, label, "".join(body))


def _shortened(name: str) -> str:
    """A name without its middle, where it is long: names often begin alike."""
    widths = [2 if east_asian_width(sign) in "WF" else 1 for sign in name]
    if sum(widths) <= LONGEST:
        return name
    half = (LONGEST - 1) // 2
    return f"{name[: _fitting(widths, half)]}…{name[len(name) - _fitting(widths[::-1], half) :]}"


def _fitting(widths: Sequence[int], room: int) -> int:
    """How many signs fit."""
    return sum(total <= room for total in accumulate(widths))


def _sized(words: str, at: Point, size: float, anchor: Anchor) -> str:
    return element("text", escape(words), x=at[0], y=at[1], font_size=f"{size:.1f}", text_anchor=anchor)
