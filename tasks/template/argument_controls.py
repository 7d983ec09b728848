"""Control tokens that a template writes within the arguments of a call, such as quotes of its own around texts."""

import json
import re
from typing import Any

from tasks.template.markup import FittedMarkup, Markup
from tasks.template.offsets import Span
from tasks.template.unslotted_text import leaves


def own_controls(
    markup: Markup, fitted: FittedMarkup, text: str, texts: list[str], controls: re.Pattern[str]
) -> list[Span]:
    """Characters of the control tokens in arguments that are the template's, and in no value of the row."""
    spans = []
    for number, slot in markup.arguments:
        start, end = fitted.starts[number], fitted.starts[number + 1]
        if plain := [control.span() for control in controls.finditer(text, start, end)]:
            quoted = _quoted(texts[slot], text, start, end, controls)
            spans += [span for span in plain if not any(first <= span[0] < last for first, last in quoted)]
    return spans


def _quoted(arguments: str, text: str, start: int, end: int, controls: re.Pattern[str]) -> list[Span]:
    """Where in the arguments the values stand that quote control tokens."""
    try:
        values: Any = json.loads(arguments)
    except ValueError:
        values = arguments
    spans = []
    for value in {str(leaf) for leaf in leaves(values) if controls.search(str(leaf))}:
        spans += [(match.start(), match.end()) for match in re.compile(re.escape(value)).finditer(text, start, end)]
    return spans
