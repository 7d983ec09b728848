"""Synthetic rows: instructions from the seed's grammar, answered by a teacher in a distilabel pipeline, and verified.

    python -m tasks generate

In: `data/seed/`. Out: `data/generated/` with `rows.jsonl`, `left_out.jsonl`, `ledger.json` and `settings.json`.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section


class Teacher(Section):
    """Who answers the instructions."""

    kind: Literal["program", "openai"] = "program"
    """`program`: the seed's grammar, offline and exact. `openai`: any server that speaks OpenAI's chat protocol."""
    base_url: str | None = None
    """Address of the server with its path, such as `http://127.0.0.1:8000/v1`; for `openai`."""
    model: str | None = None
    """Name of the model on the server; for `openai`."""
    key_variable: str | None = None
    """Name of the environment variable that holds the server's key, never the key itself; null for a server without."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Randomness of the server's answers (0 to 2); 0 takes the most likely."""
    max_new_tokens: int = Field(128, ge=1)
    """Longest answer of the server, in tokens."""
    request_timeout: int = Field(120, ge=1)
    """Longest wait for one answer of the server, in seconds."""
    max_retries: int = Field(3, ge=0)
    """How often a failed request to the server is tried again (times)."""

    @model_validator(mode="after")
    def _server_is_named(self) -> Self:
        if self.kind == "openai":
            for name in ("base_url", "model"):
                if not getattr(self, name):
                    raise ValueError(f"a teacher of the kind 'openai' needs generate.teacher.{name}")
        return self


class Settings(Section):
    """Section `generate` of params.yaml."""

    recipe: Literal["program", "none"] = "program"
    """`program`: rows from the grammar in `data/seed`. `none`: no rows, for those who bring their own data."""
    rows: int = Field(3000, ge=1)
    """Training rows to ask for (rows)."""
    validation_rows: int = Field(100, ge=0)
    """Validation rows to ask for (rows)."""
    test_rows: int = Field(240, ge=2)
    """Test rows to ask for (rows): half with new combinations, half with new phrasings."""
    seed: int = Field(0, ge=0)
    """Seed of the draws (a number); another seed gives other rows."""
    batch_size: int = Field(256, ge=1)
    """Instructions that the teacher gets at a time (rows)."""
    timeout: int = Field(3600, ge=1)
    """Longest time for the whole pipeline (seconds); then it is ended and the stage fails."""
    max_loss: float = Field(0.0, ge=0, le=1)
    """Share of rows (0 to 1) that may be lost to missing or wrong answers before the stage fails."""
    teacher: Teacher = Teacher()
    """Who answers the instructions."""


def run(settings: Settings, paths: Paths) -> None:
    """Make the rows and write `data/generated`."""
    from tasks.generate.rows import generate

    generate(settings, paths)
