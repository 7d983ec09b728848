"""Comments and blank lines of params.yaml before what they are about.

ruamel keeps what stands between two keys with the last value of the first one, however deep. A key that is added there
would come after it, below the comment of the next section, and what is removed or replaced there would take it along.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import FoldedScalarString, LiteralScalarString
from ruamel.yaml.tokens import CommentToken

from tasks.core.settings import models_in, read

COLUMN = 31
"""Where comments of params.yaml begin."""

EOL = {CommentedMap: 2, CommentedSeq: 0}
"""Where ruamel keeps what follows a value, among the comments of a mapping's key or of a list's item."""


def editable(path: Path) -> Any:
    """The YAML mapping in `path`, to be changed and written again. Raises `SettingsError`, as `read` does."""
    document = read(path)
    attach_to_next(document)
    return document


def explain(mapping: Any, settings: type[BaseModel]) -> None:
    """Write beside each key of `mapping` that has no comment what it is: the beginning of its description in
    `settings`, up to the first full stop, colon or semicolon. For a file as `editable` reads it."""
    for key, value in mapping.items():
        if (field := settings.model_fields.get(key)) is None:
            continue
        if isinstance(value, CommentedMap) and value and not value.fa.flow_style():
            if inner := next(iter(models_in(field.annotation)), None):
                explain(value, inner)
        elif not any(mapping.ca.items.get(key, ())) and not isinstance(value, CommentedSeq) and field.description:
            about = re.split(r"[.:;](?:\s|$)", field.description, maxsplit=1)[0]
            mapping.yaml_add_eol_comment(" ".join(f"{about[:1].lower()}{about[1:]}".split()), key, COLUMN)


def attach_to_next(document: Any) -> None:
    """Give each key of `document`, as ruamel reads it, the lines above it; the text that it is written to is the same.

    What follows a value on its own line stays with it, and so do comments of the next lines that are as far to the
    right as its own key. Lines below the last key of the document stay at the document's end.
    """
    if isinstance(document, CommentedMap) and (lines := _attach(document)):
        document.ca.end = [*(getattr(document.ca, "end", None) or []), _token(lines)]


def _attach(mapping: CommentedMap, column: int | None = None) -> str:
    """The lines below the last value of `mapping`, taken out of it. `column`: of a comment that is its own, at least;
    where it is None, that of the key."""
    lines = ""
    for key in mapping:
        if lines:
            comments = mapping.ca.items.setdefault(key, [None, None, None, None])
            comments[1] = [_token(lines), *(comments[1] or [])]
        own = mapping.lc.data[key][1] if key in (mapping.lc.data or {}) else 0
        lines = _taken(mapping, key, own if column is None else column)
    return lines


def _taken(parent: Any, key: Any, column: int) -> str:
    """The lines below the value of `key`, which stand with its innermost last value; `column`: as in `_attach`."""
    value = parent[key]
    block = isinstance(value, CommentedMap | CommentedSeq) and value and not value.fa.flow_style()
    if block and isinstance(value, CommentedMap):
        return _attach(value) if isinstance(parent, CommentedMap) else _attach(value, column)
    if block:
        return _taken(value, len(value) - 1, column + 1)
    comments = parent.ca.items.get(key)
    token = comments[EOL[type(parent)]] if comments else None
    if token is None:
        return ""
    rest = token.value.splitlines(keepends=True)
    own = [] if isinstance(value, LiteralScalarString | FoldedScalarString) else [rest.pop(0)]
    while rest and rest[0].strip() and len(rest[0]) - len(rest[0].lstrip()) >= max(column, 1):
        own.append(rest.pop(0))
    token.value = "".join(own)
    if not token.value.strip():
        comments[EOL[type(parent)]] = None
    return "".join(rest)


def _token(lines: str) -> CommentToken:
    return CommentToken(lines, CommentMark(0), None)
