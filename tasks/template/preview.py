"""Rows as they are trained, for a person to look at: trained tokens are marked, control tokens are visible."""

from html import escape
from typing import Any

STYLE = """<style>
.rows { font: 14px/1.6 ui-monospace, monospace; }
.row { margin: 0 0 1em; padding: .6em .8em; border: 1px solid #8886; border-radius: 6px; white-space: pre-wrap; }
.row b { font-weight: 600; opacity: .6; }
.row mark { background: #2a9d4a44; color: inherit; border-bottom: 2px solid #2a9d4a; }
</style>"""


def page(tokenizer: Any, rows: list[tuple[str, list[int], list[bool]]]) -> str:
    """An HTML fragment with a block a row: id, tokens, and how many of them are trained."""
    blocks = [_block(tokenizer, *row) for row in rows]
    return f'{STYLE}\n<div class="rows">\n' + "\n".join(blocks) + "\n</div>\n"


def _block(tokenizer: Any, name: str, ids: list[int], trained: list[bool]) -> str:
    parts = []
    start = 0
    while start < len(ids):
        end = start
        while end < len(ids) and trained[end] == trained[start]:
            end += 1
        text = escape(tokenizer.decode(ids[start:end], skip_special_tokens=False))
        parts.append(f"<mark>{text}</mark>" if trained[start] else text)
        start = end
    return (
        f'<div class="row"><b>{escape(name)}: {sum(trained)} of {len(ids)} tokens trained</b>\n{"".join(parts)}</div>'
    )
