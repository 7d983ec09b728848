"""Section `decide` of params.yaml."""

from typing import Annotated

from pydantic import Field

from tasks.core.settings import Settings as Section
from tasks.named.names import Name

Share = Annotated[float, Field(ge=0)]


class Settings(Section):
    """The section `decide`."""

    candidate: Name = "merged"
    """The candidate that you want to ship, such as merged or a scheme of quantize."""
    metric: str | None = None
    """Name of the metric that decides; null: the first of evaluate.metrics."""
    gain: Share = 0.0
    """Smallest improvement over the base, whichever way it is prompted, in the metric's unit (1 is all rows; nats per
    token for perplexity, which is shown as a ratio: 0.05 asks for a perplexity of at most e^-0.05 = 0.951 of the
    base's)."""
    level: float = Field(0.05, gt=0, lt=1)
    """Significance level, adjusted for the number of metrics: a gain counts if its p-value is below this."""
    detect: float = Field(0.05, gt=0)
    """Size of a difference, in the metric's unit: if a gain may be due to chance, the decision says how many rows would
    be needed to detect one of this size."""
    quantised_loss: Share | None = 0.05
    """How much worse than merged a quantised model may be, in the metric's unit; null: no limit."""
    forgetting: Share | None = 0.05
    """How much a benchmark may lose through tuning, in its own unit; null: no limit."""
    best_loss: Share | None = None
    """How much worse than the last promoted run the candidate may be, in the metric's unit; null: no limit."""
    judged: Annotated[float, Field(ge=0, le=1)] | None = None
    """Smallest share of the judge's points (0 to 1, a tie is half a point) against judge.against; null: no limit."""
    resamples: int = Field(10_000, ge=1000)
    """Bootstrap samples per interval, or sign flips per test."""
