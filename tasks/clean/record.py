"""One record of a file, as it stands there or as far as it could be read."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.clean.files import Source

LONGEST = 2**26
"""Bytes of the longest line that is parsed."""

SHOWN = 2**20
"""Characters kept of a record that leaves; the file and the line say where the rest is."""


@dataclass(frozen=True)
class Record:
    """One record as it stands in a file, or why it could not be read."""

    source: Source
    line: int
    """Line in a text file, item in a JSON list, row in a table; from 1."""
    value: dict[str, Any] | None
    text: str | None = None
    """The record as it stands in the file, where that is text."""
    fault: str | None = None
    """Reason why `value` is None."""

    @cached_property
    def raw(self) -> str:
        """The record as text, for those that leave."""
        text = json.dumps(self.value, ensure_ascii=False, default=str) if self.text is None else self.text
        cut = text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text)} characters)"
        return cut if cut.isascii() else cut.encode("utf-8", "backslashreplace").decode()
