"""The ledger of a stage that sees rows: in = out + each reason for leaving (INV-7), where none is repeated."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.core.errors import LossError
from tasks.core.files import write_json
from tasks.core.numbers import counted, shown
from tasks.core.paths import PATHS


@dataclass
class Ledger:
    """Counts rows (or tokens) into a stage, out of it, and out by reason.

    >>> ledger = Ledger(came=3)
    >>> ledger.outs["train"], ledger.left["duplicate"] = 2, 1
    >>> ledger.balance()
    0

    `outs` names the places that rows went to (splits); `left` the reasons for leaving, each a slug.
    """

    unit: str = "rows"
    came: int = 0
    outs: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    """Rows among those that went out that are there once more, because the settings want them more than once."""

    def balance(self) -> int:
        """What is unaccounted for: zero, or the ledger lies."""
        return self.came + self.repeated - self.outs.total() - self.left.total()

    def check(
        self, stage: str, max_loss: float | None = None, key: str = "", wanted: frozenset[str] = frozenset()
    ) -> None:
        """Raise `LossError` where the line does not add up, or where more than `max_loss` (a share) left.

        Leaving for a reason in `wanted` is no loss.
        """
        if self.balance():
            raise LossError(
                f"{stage}: the ledger does not add up: {self.came} {self.unit} came in, {self.repeated} were "
                f"repeated, {self.outs.total()} went out, "
                f"{self.left.total()} left; {self.balance()} are unaccounted for. This is a defect in temper."
            )
        losses = Counter({reason: count for reason, count in self.left.items() if reason not in wanted})
        lost = losses.total() / self.came if self.came else 0.0
        if max_loss is not None and lost > max_loss:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in losses.most_common())
            raise LossError(
                f"{stage}: {losses.total():,} of {counted(self.came, self.unit)} ({lost:.1%}) would be left out, more "
                f"than {key} = {shown(max_loss)} allows: {reasons}. Fix the data, or raise {key} in {PATHS.params}."
            )

    def as_dict(self) -> dict[str, Any]:
        """`{"unit", "in", "out": {split: n}, "left": {reason: n}}`, and `repeated` where rows are; they add up."""
        repeated = {"repeated": self.repeated} if self.repeated else {}
        return {"unit": self.unit, "in": self.came, **repeated, "out": dict(self.outs), "left": dict(self.left)}

    def write(self, path: Path, **more: Any) -> None:
        """Write the ledger as JSON, with further facts beside it."""
        write_json(path, {**self.as_dict(), **more})
