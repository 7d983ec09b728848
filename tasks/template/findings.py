"""What was found in rows, check by check."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.template.checks import CHECKS, Check

EXAMPLES = 5
"""Rows named for each finding."""


@dataclass
class Findings:
    """How many rows each check applies to, and some of them."""

    rows: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    details: dict[str, str] = field(default_factory=dict)
    """What one row of the check has to say about it."""

    def add(self, slug: str, row: str, detail: str | None = None) -> None:
        """Note that a check applies to a row."""
        self.rows[slug] += 1
        if len(self.examples[slug]) < EXAMPLES:
            self.examples[slug].append(row)
        if detail:
            self.details.setdefault(slug, detail)

    def as_list(self, known: Mapping[str, Check] = CHECKS) -> list[dict[str, Any]]:
        """`{"check", "severity", "rows", "examples", "message"}` each, in the order of the checks that are known."""
        listed = []
        for slug, check in known.items():
            if self.rows[slug]:
                detail = f" ({self.details[slug]})" if slug in self.details else ""
                listed.append(
                    {
                        "check": slug,
                        "severity": check.severity,
                        "rows": self.rows[slug],
                        "examples": self.examples[slug],
                        "message": check.meaning + detail,
                    }
                )
        return listed

    def trained_errors(self) -> dict[str, int]:
        """Rows by the errors that they have and are trained with; those of all other errors left, as settings allow."""
        return {slug: self.rows[slug] for slug, check in CHECKS.items() if check.stays and self.rows[slug]}
