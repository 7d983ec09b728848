"""SVG as text: elements whose content and attributes are escaped, and the picture that they make.

Coordinates are in units of the view box, from the top left corner.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

STYLE = (
    "text{font:12px sans-serif;fill:#222222}.tick{font-size:11px;fill:#555555}"
    ".series0{stroke:#1f4e79}.series1{stroke:#e07b39}circle.series0{fill:#1f4e79}circle.series1{fill:#e07b39}"
    "path{stroke-width:2}path.grid,path.axis{stroke:#dddddd;stroke-width:1}path.axis{stroke:#999999}"
)
"""For a picture without a page: the two colours differ in lightness, too."""


@dataclass(frozen=True)
class Picture:
    """A drawing whose classes get their colours from the style sheet around it.

    Text is `name`, `number` or `tick`; shapes are `grid`, `axis`, `whisker`, `bar`, or `series0` and on.
    """

    width: float
    height: float
    label: str
    body: str

    def inline(self) -> str:
        """As an element of an HTML page, with the colours of that page."""
        return self._element(self.body, role="img", aria_label=self.label)

    def markdown(self) -> str:
        """As an image in Markdown, which no style sheet reaches: dark on white."""
        style = element("style", STYLE) + element("rect", width="100%", height="100%", fill="#ffffff")
        picture = self._element(style + self.body, xmlns="http://www.w3.org/2000/svg")
        return f"![{self.label}](data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()})"

    def _element(self, content: str, **attributes: str) -> str:
        return element("svg", content, view_box=f"0 0 {number(self.width)} {number(self.height)}", **attributes)


def element(tag: str, content: str = "", **attributes: str | float) -> str:
    """An element around `content`, which is SVG already. `class_`, `text_anchor` stand for `class`, `text-anchor`."""
    names = {name: "viewBox" if name == "view_box" else name.rstrip("_").replace("_", "-") for name in attributes}
    written = "".join(
        f' {names[name]}="{escape(value if isinstance(value, str) else number(value))}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def text(words: str, at: Point, kind: str, anchor: Anchor = "middle") -> str:
    """Words, centred on a point by default."""
    return element("text", escape(words), class_=kind, x=at[0], y=at[1], text_anchor=anchor)


def path(points: Iterable[Point], kind: str, title: str = "", **attributes: str) -> str:
    """A line through points; `title` is shown under the mouse."""
    steps = "L".join(f"{number(x)},{number(y)}" for x, y in points)
    shown = element("title", escape(title)) if title else ""
    return element("path", shown, class_=kind, d=f"M{steps}", fill="none", **attributes)


def number(value: float) -> str:
    """A coordinate with one decimal at most: short, and the same on every machine."""
    return f"{value:.1f}".removesuffix(".0")
