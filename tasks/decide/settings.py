"""Section `decide` of params.yaml."""

from typing import Annotated

from pydantic import Field

from tasks.core.settings import Settings as Section
from tasks.named.names import Name

Share = Annotated[float, Field(ge=0)]


class Settings(Section):
    """The section `decide`."""

    candidate: Name = "merged"
    """The candidate that is to be shipped, such as merged or a scheme of quantize."""
    metric: str | None = None
    """Name of the metric that decides; null: the first of evaluate.metrics."""
    gain: Share = 0.0
    """How much better than the base, asked in each way, it must be at least, in the metric's unit (1 is all rows; nats
    a token for perplexity, which is shown as a ratio: 0.05 asks for a perplexity of at most e^-0.05 = 0.951 of its)."""
    level: float = Field(0.05, gt=0, lt=1)
    """Probability of chance, adjusted for the number of metrics, below which a gain counts as one."""
    detect: float = Field(0.05, gt=0)
    """Difference, in the metric's unit, for which a gain that may be chance names the rows that would show it."""
    quantised_loss: Share | None = 0.05
    """How much worse than merged a quantised model may be at most, in the metric's unit; null: any."""
    forgetting: Share | None = 0.05
    """How much a benchmark may lose by tuning at most, in its own unit; null: any."""
    best_loss: Share | None = None
    """How much worse than the run promoted last it may be at most, in the metric's unit; null: any."""
    judged: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the judge's points (0 to 1, a tie being half a point) that the candidate must have at least against
    judge.against; null: any."""
    resamples: int = Field(10_000, ge=1000)
    """Draws of rows for an interval, or of signs for a test."""
