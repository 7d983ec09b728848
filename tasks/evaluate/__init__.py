"""Answer the held-out rows with one candidate, and score the answers.

    python -m tasks evaluate CANDIDATE

In: data/clean/test.parquet, data/templated/tokenizer, and the candidate's model. Out: data/evaluation/CANDIDATE
(`scores.json`, `predictions.parquet`, `settings.json`). Candidates:

    base           the base model, asked as the tuned one is
    base_few_shot  the base model, with rows of the training split as earlier turns
    adapter        base with the live adapter (or the model that was tuned whole)
    merged         the merged model
    SCHEME         a quantised model: nf4, int8, gguf-q8_0

lm-eval does the work, on the task `held_out.yaml`; the prompt is rendered as it was in training, decoding is greedy.
"""

from typing import Annotated

from pydantic import Field

from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section

Positive = Annotated[int, Field(ge=1)]


class Settings(Section):
    """The section `evaluate`."""

    shots: Positive = 3
    """Rows of the training split that base_few_shot sees as earlier turns; fewer where the context is short."""
    batch_size: Positive = 32
    """Rows answered at once; they are sorted by length."""
    max_new_tokens: Positive | None = None
    """Most tokens of an answer; null: the longest reference and 8 more, at most half of the model's context."""
    limit: Positive | None = None
    """Rows that are asked, the first ones of the test split; null for all."""
    threads: Positive = 1
    """CPU threads. Part of the result: another number adds in another order and may turn a close decision."""


def run(settings: Settings, paths: Paths, candidate: str = "") -> None:
    """Answer and score; see the module's docstring."""
    from tasks.evaluate.evaluate import evaluate

    evaluate(settings, paths, candidate)
