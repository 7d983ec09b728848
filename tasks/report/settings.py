"""Section `report` of params.yaml."""

from typing import Annotated

from pydantic import Field

from tasks.core.settings import Settings as Section


class Settings(Section):
    """The section `report`."""

    title: str | None = None
    """Name of the tuned model, as page and card are headed; null: as the seed says it, where the rows come from one."""
    purpose: str | None = None
    """What the model is for, in a sentence; null: as the seed says it."""
    language: str = "en"
    """Language of the data, as an ISO 639-1 code."""
    licence: str | None = None
    """Licence of the tuned weights, by its identifier on the hub, such as apache-2.0; null: as the seed says it, else
    other."""
    base_licence: str | None = None
    """Licence of the base model; null: as the seed says it, else unknown."""
    data_licence: str | None = None
    """Licence of the data; null: as the seed says it, else unknown."""
    limits: str | None = None
    """What the model cannot do or was not tried on, in a sentence or two; null: as the seed says it, else the card says
    nothing."""
    samples: Annotated[int, Field(ge=0)] = 12
    """Predictions shown side by side on the report, wrong ones first (rows)."""
    predictions: Annotated[int, Field(ge=0)] = 2000
    """Predictions on their own page, the worst ones (rows); every one is in predictions.parquet."""
