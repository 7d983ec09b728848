"""The recipes: each says what to start from, which distilabel pipeline works on it, and what became of each row.

A recipe is a module with `order`, `build` and `outcomes`; `load_recipe` gives it by its name in params.yaml. Rows that
start (`order`) hold `place`, their number, and `asked`, how many rows of data they are to give; the pipeline keeps
both. `requests` is about how many they take, for the progress.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.core.paths import Paths
from tasks.generate.settings import Settings
from tasks.teacher.request import Response

Lookup = Callable[[str], Response | None]
"""From the key of a request to the response on record; None where the budget was used up before it was asked."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """One row that was asked for: kept, or left for a reason."""

    content: Row
    """What the row holds, as far as it came: `messages`, or `prompt`, `chosen` and `rejected`, and `tools`."""
    reason: str | None = None
    """Why it leaves, as a slug; None where it stays."""
    asks: str = ""
    """What it asks, for the comparison with other rows."""
    answers: str = ""
    """What it answers."""
    provenance: Row = field(default_factory=dict)
    """Where it comes from, beside recipe, teacher and sampling: its source, and `prompts`, the keys of its requests."""


class Recipe(Protocol):
    """What a module in this package offers."""

    def order(self, settings: Settings, paths: Paths) -> Iterator[Row]:
        """The rows to start from. Raises `InputError` where the input cannot be used."""

    def build(self, settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
        """Add the pipeline's steps after the step `rows`; `teacher()` makes the LLM of a step."""

    def outcomes(self, settings: Settings, row: Row, answered: list[Row], lookup: Lookup) -> list[Outcome]:
        """What became of the rows that `row` was to give: `row["asked"]` outcomes, from what was `answered`."""


def load_recipe(name: str) -> Recipe:
    """The recipe of that name."""
    module: Any = importlib.import_module(f"tasks.generate.recipes.{name}")
    return module  # type: ignore[no-any-return]
