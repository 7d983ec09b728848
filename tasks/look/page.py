"""A view of data as one HTML file: no script, nothing from the network, dark and light."""

from html import escape
from pathlib import Path
from typing import Any

from tasks.core.files import write_text
from tasks.look.render import charts, facts
from tasks.look.survey import View
from tasks.template.preview import Preview

STYLE = """body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
color-scheme: light dark; overflow-wrap: anywhere } table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 400; width: 14rem } td, th { padding: .1rem .5rem .1rem 0; vertical-align: middle }
td.count { text-align: right; width: 5rem; font-variant-numeric: tabular-nums }
td div { background: #2a6fdb; height: .9rem; border-radius: 2px; min-width: 1px }
h2 { margin: 2rem 0 .3rem; font-size: 1.15rem } p.note { margin: 0 0 .5rem; opacity: .8 }
@media (max-width: 40rem) { th { width: 8rem } }"""


def write(path: Path, name: str, view: View, longest: int | None, tokenizer: Any, shown: int) -> None:
    """Write the page. `name`: of the data; `shown`: rows of each kind."""
    parts = ["<ul>", *(f"<li>{escape(fact)}</li>" for fact in facts(view)), "</ul>"]
    for chart in charts(view, longest):
        most = max(count for _, count in chart.counts) or 1
        parts += [f"<h2>{escape(chart.title)}</h2>", f'<p class="note">{escape(chart.note)}</p>' if chart.note else ""]
        parts.append("<table>")
        for label, count in chart.counts:
            width = f'<div style="width:{100 * count / most:.1f}%"></div>' if count else ""
            parts.append(
                f'<tr><th scope="row">{escape(label)}</th><td class="count">{count:,}</td><td>{width}</td></tr>'
            )
        parts.append("</table>")
    if view.outcomes and tokenizer is not None:
        preview = Preview(tokenizer, shown)
        for outcome in view.outcomes:
            preview.add(outcome)
        parts += ["<h2>Rows as they are trained</h2>", '<p class="note">What is marked is trained.</p>', preview.page()]
    write_text(
        path,
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(name)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body><h1>{escape(name)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n",
    )
