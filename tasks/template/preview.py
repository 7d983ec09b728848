"""Rows as they are trained, for a person to look at: trained tokens are marked, control tokens are visible."""

from html import escape
from typing import Any

from tasks.template.outcome import Outcome
from tasks.template.sequence import Sequence

TOKENS = 2000
"""Tokens shown of a row."""


class Preview:
    """The first rows of each kind, as HTML."""

    def __init__(self, tokenizer: Any, rows: int) -> None:
        self._tokenizer = tokenizer
        self._most = rows
        self._shown: dict[str, list[str]] = {}

    def add(self, outcome: Outcome) -> None:
        """Show the row where few of its kind, and of its fate, were shown before; rows that left are not shown."""
        kind = outcome.cut or outcome.kind
        shown = self._shown.setdefault(kind, [])
        if outcome.reason or len(shown) >= self._most:
            return
        names = ("chosen", "rejected") if outcome.kind == "preference" else ("",) * len(outcome.sequences)
        for name, part in zip(names, outcome.sequences, strict=True):
            shown.append(self._block(" ".join(filter(None, (outcome.id, name, outcome.cut))), part))

    def page(self) -> str:
        """An HTML fragment with a block a row: id, tokens, and how many of them are trained.

        It has no style of its own, so that it reads alone too; pages give it theirs.
        """
        blocks = [block for shown in self._shown.values() for block in shown]
        return '<div class="rows">\n' + "\n".join(blocks) + "\n</div>\n"

    def _block(self, name: str, part: Sequence) -> str:
        pieces = []
        at = 0
        ids = part.tokens[:TOKENS].tolist()
        end = len(ids)
        for start, stop in part.runs:
            pieces += [self._text(ids[at : min(start, end)]), self._mark(ids[start : min(stop, end)])]
            at = max(at, min(stop, end))
        pieces.append(self._text(ids[at:]))
        more = f"\n<b>and {len(part) - end} more tokens</b>" if end < len(part) else ""
        head = f"{escape(name)}: {part.trained} of {len(part)} tokens trained"
        return f'<pre class="row"><b>{head}</b>\n{"".join(pieces)}{more}</pre>'

    def _text(self, ids: list[int]) -> str:
        return escape(self._tokenizer.decode(ids, skip_special_tokens=False)) if ids else ""

    def _mark(self, ids: list[int]) -> str:
        return f"<mark>{self._text(ids)}</mark>" if ids else ""
