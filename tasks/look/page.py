"""A view of data as one HTML file without a script."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from tasks.core.files import write_text
from tasks.look.render import Bars, charts, facts, staying
from tasks.look.survey import View
from tasks.pages.document import document
from tasks.template.preview import Preview


def write(path: Path, name: str, view: View, tokenizer: Any, shown: int) -> None:
    """Write the page. `name`: of the data; `shown`: rows of each kind."""
    parts = [f'<main>\n<header><p class="kicker">temper look</p><h1>{escape(name)}</h1></header>']
    parts += ["<ul>", *(f"<li>{escape(fact)}</li>" for fact in facts(view)), "</ul>"]
    for chart in charts(view):
        parts += _chart(chart)
    if view.outcomes and tokenizer is not None:
        preview = Preview(tokenizer, shown)
        for outcome in view.outcomes:
            preview.add(outcome)
        parts += ["<h2>Rows as they are trained</h2>", '<p class="note">Marked tokens are trained.</p>', preview.page()]
    parts.append(f"<p>{escape(staying(view))}</p>")
    write_text(path, document(name, "\n".join([*parts, "</main>"])))


def _chart(chart: Bars) -> Iterator[str]:
    """A table with a bar a line, which says the same without its bars."""
    most = max(count for _, count in chart.counts) or 1
    yield f"<h2>{escape(chart.title)}</h2>"
    if chart.note:
        yield f'<p class="note">{escape(chart.note)}</p>'
    yield f'<table class="bars" aria-label="{escape(chart.title)}"><tbody>'
    for label, count in chart.counts:
        bar = f'<div style="width:{100 * count / most:.1f}%"></div>' if count else ""
        yield f'<tr><th scope="row">{escape(label)}</th><td class="n">{count:,}</td><td>{bar}</td></tr>'
    yield "</tbody></table>"
