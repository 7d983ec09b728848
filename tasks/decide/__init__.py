"""Decide whether the tuned model is worth shipping: compare every candidate row by row, and apply the rules.

    python -m tasks decide

In: data/evaluation, data/best (the scores of the run promoted last, written by `temper promote`), and what the stages
before have found. Out: data/decision (`decision.json`, the verdict and the numbers behind it; `comparisons.json`, every
comparison with interval, test and effect). The stage ends well whatever the verdict: a run that is not promoted is a
result as well.
"""

from typing import Annotated

from pydantic import Field

from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section

Share = Annotated[float, Field(ge=0)]


class Settings(Section):
    """The section `decide`."""

    candidate: str = "merged"
    """The candidate that is to be shipped, such as merged or a scheme of quantize."""
    metric: str | None = None
    """Name of the metric that decides; null: the first of evaluate.metrics."""
    gain: Share = 0.0
    """How much better than the base, asked in each way, it must be at least, in the metric's unit (1 is all rows; nats
    a token for perplexity)."""
    level: float = Field(0.05, gt=0, lt=1)
    """Probability of chance, adjusted for the number of metrics, below which a gain counts as one."""
    quantised_loss: Share | None = 0.05
    """How much worse than merged a quantised model may be at most, in the metric's unit; null: any."""
    forgetting: Share | None = 0.05
    """How much a benchmark may lose by tuning at most, in its own unit; null: any."""
    best_loss: Share | None = None
    """How much worse than the run promoted last it may be at most, in the metric's unit; null: any."""
    resamples: int = Field(10_000, ge=1000)
    """Draws of rows for an interval, or of signs for a test."""


def run(settings: Settings, paths: Paths) -> None:
    """Compare and decide; see the module's docstring."""
    from tasks.decide.decide import decide

    decide(settings, paths)
