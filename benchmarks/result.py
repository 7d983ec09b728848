"""What a benchmark found, and how it is shown."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """One number against its goal; more than the goal is not ok."""

    name: str
    value: float | None
    """None where it could not be measured, for a peer is missing; that is not ok."""
    unit: str
    goal: float
    ok: bool
    detail: dict[str, Any]
    """What the number was made from, seconds as medians, and on which configuration."""

    def line(self) -> str:
        """One JSON object on one line."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)


def last_line(printed: str) -> dict[str, Any]:
    """The JSON object in the last line of what a process printed."""
    values: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return values


def table(results: list[Result]) -> str:
    """A line a benchmark, for a person."""
    lines = [f"{'benchmark':14}{'value':>10}{'goal':>10}  unit"]
    for result in results:
        verdict = "" if result.ok else "   not reached"
        value = "-" if result.value is None else f"{result.value:.3f}"
        lines.append(f"{result.name:14}{value:>10}{result.goal:10.3f}  {result.unit}{verdict}")
    return "\n".join(lines)
