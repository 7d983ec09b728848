"""Section `report` of params.yaml."""

from typing import Annotated

from pydantic import Field

from tasks.core.settings import Settings as Section


class Settings(Section):
    """The section `report`."""

    title: str | None = None
    """Name of the tuned model in the report and the model card; null: the seed's, if the rows come from one."""
    purpose: str | None = None
    """What the model is for, in one sentence; null: the seed's."""
    language: str = "en"
    """Language of the data, as an ISO 639-1 code."""
    licence: str | None = None
    """Licence of the tuned weights, by its identifier on the hub, such as apache-2.0; null: the seed's, otherwise
    other."""
    base_licence: str | None = None
    """Licence of the base model; null: the seed's, otherwise unknown."""
    data_licence: str | None = None
    """Licence of the data; null: the seed's, otherwise unknown."""
    limits: str | None = None
    """What the model cannot do or was not tested on, in one or two sentences; null: the seed's, otherwise nothing."""
    samples: Annotated[int, Field(ge=0)] = 12
    """Predictions shown side by side in the report, wrong ones first (rows)."""
    predictions: Annotated[int, Field(ge=0)] = 2000
    """Predictions on their own page, worst first (rows); predictions.parquet has all of them."""
