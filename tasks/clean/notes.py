"""What is noted of rows while they are made, for a part of them or for all: notes of parts add up to those of all."""

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
