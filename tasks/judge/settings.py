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
    """The candidate to compare them with."""
    teacher: Teacher | None = None
    """The judge, in the form of generate.teacher; null if nothing is judged."""
    criteria: str = "Correctness counts first, then completeness, then brevity."
    """What makes an answer better, in a few sentences for the judge."""
    reference: bool = True
    """Show the row's reference answer to the judge."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Number of rows to judge, of those that `evaluate` asked, drawn so that each class, or otherwise each slice and
    source, keeps its share; null: all."""
    max_unclear: float = Field(0.1, ge=0, le=1)
    """Share of rows (0 to 1) without a clear verdict above which the stage fails."""
    budget: Budget = Budget()
    """The most that the verdicts may cost."""

    @model_validator(mode="after")
    def _has_a_judge(self) -> Self:
        if self.candidates and (self.teacher is None or self.teacher.kind == "program"):
            raise ValueError("judge.candidates needs judge.teacher of the kind openai, huggingface or local")
        if self.against in self.candidates:
            raise ValueError(f"judge.against = {self.against} is among judge.candidates; remove it from one of them")
        return self

    def teachers(self, candidate: str = "") -> list[Teacher]:
        """Whoever is asked."""
        return [self.teacher] if self.teacher else []
