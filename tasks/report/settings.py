"""Section `report` of params.yaml."""

from typing import Annotated

from pydantic import Field

from tasks.core.settings import Settings as Section


class Settings(Section):
    """The section `report`."""

    title: str = "Fine-tuned model"
    """Name of the tuned model, as page and card are headed."""
    purpose: str = "A language model fine-tuned with temper."
    """What the model is for, in a sentence."""
    language: str = "en"
    """Language of the data, as an ISO 639-1 code."""
    licence: str = "other"
    """Licence of the tuned weights, by its identifier on the hub, such as apache-2.0."""
    base_licence: str = "unknown"
    """Licence of the base model."""
    data_licence: str = "unknown"
    """Licence of the data."""
    limits: str = "Measured on the held-out rows of its own data only; anything else is unknown."
    """What the model cannot do or was not tried on, in a sentence or two."""
    samples: Annotated[int, Field(ge=0)] = 12
    """Predictions shown side by side on the report, wrong ones first (rows)."""
    predictions: Annotated[int, Field(ge=0)] = 2000
    """Predictions on their own page, the worst ones (rows); every one is in predictions.parquet."""
