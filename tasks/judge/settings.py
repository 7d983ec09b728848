"""Section `judge` of params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section
from tasks.named.names import Name
from tasks.teacher.settings import Budget, Teacher


class Settings(Section):
    """The section `judge`."""

    candidates: list[Name] = Field(default_factory=list)
    """Candidates of `evaluate` whose answers are judged; [] for none."""
    against: Name = "base"
    """The candidate that they are compared with."""
    teacher: Teacher | None = None
    """Who judges, in the form of generate.teacher; null where nothing is judged."""
    criteria: str = "Correctness counts first, then completeness, then brevity."
    """What makes an answer better, in a sentence or a few; the judge reads it."""
    reference: bool = True
    """Whether the judge sees the row's reference."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Rows that are judged, of those that were asked, drawn so that each class, or else each slice and source, keeps
    its share; null: all."""
    max_unclear: float = Field(0.1, ge=0, le=1)
    """Share of rows (0 to 1) that may be without a clear verdict before the stage fails."""
    budget: Budget = Budget()
    """What it may cost."""

    @model_validator(mode="after")
    def _has_a_judge(self) -> Self:
        if self.candidates and (self.teacher is None or self.teacher.kind == "program"):
            raise ValueError("judge.candidates need judge.teacher, of the kind openai, huggingface or local")
        if self.against in self.candidates:
            raise ValueError(f"judge.against = {self.against} is among judge.candidates; take it out of one of them")
        return self

    def teachers(self, candidate: str = "") -> list[Teacher]:
        """Whoever is asked."""
        return [self.teacher] if self.teacher else []
