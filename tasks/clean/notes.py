"""What is noted of rows while they are made, for a part of them or for all: notes of parts add up to those of all."""

import json
from collections import Counter
from dataclasses import dataclass, field

from tasks.clean.columns import ColumnSurvey
from tasks.clean.order import OrderValues


@dataclass
class Notes:
    """What came up in some rows."""

    columns: ColumnSurvey
    """What shapes they came in, and what of them was read."""
    optional_columns: set[str] = field(default_factory=set)
    """Columns that some row has."""
    unknown_keys: tuple[str, ...] | None = None
    """Keys of the first row of no known shape."""
    candidates: tuple[str, ...] = ()
    """What to write into section `clean`, one of them, for the first row that can be read in several ways."""
    seen_keys: set[str] = field(default_factory=set)
    """Keys of the settings `group` and `stratify` that some row has."""
    order: OrderValues = field(default_factory=OrderValues)
    """What training rows have under `order_key`."""
    private_rows: Counter[str] = field(default_factory=Counter)
    """Rows with private values, by kind."""
    private_findings: Counter[str] = field(default_factory=Counter)
    """Private values, by kind."""

    def add(self, later: "Notes") -> None:
        """Take in what was noted of the rows that follow."""
        self.columns.merge(later.columns)
        self.optional_columns |= later.optional_columns
        if self.unknown_keys is None:
            self.unknown_keys = later.unknown_keys
        self.candidates = self.candidates or later.candidates
        self.seen_keys |= later.seen_keys
        self.order.merge(later.order)
        self.private_rows.update(later.private_rows)
        self.private_findings.update(later.private_findings)

    def as_bytes(self) -> bytes:
        """The notes of a part of the rows, as `restore` reads them."""
        state = {
            "columns": self.columns.state(),
            "optional_columns": sorted(self.optional_columns),
            "unknown_keys": self.unknown_keys,
            "candidates": self.candidates,
            "seen_keys": sorted(self.seen_keys),
            "order": [self.order.counts, self.order.first],
            "private": [self.private_rows, self.private_findings],
        }
        return json.dumps(state).encode()

    def restore(self, content: bytes) -> None:
        """Note, where nothing is noted yet, what is in the bytes of other notes."""
        state = json.loads(content)
        self.columns.restore(state["columns"])
        self.optional_columns = set(state["optional_columns"])
        self.unknown_keys = None if state["unknown_keys"] is None else tuple(state["unknown_keys"])
        self.candidates = tuple(state["candidates"])
        self.seen_keys = set(state["seen_keys"])
        self.order.counts, self.order.first = Counter(state["order"][0]), state["order"][1]
        self.private_rows, self.private_findings = map(Counter, state["private"])
