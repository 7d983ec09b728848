"""What page and card say of a model beside what was measured: as it is set, else as the seed of its rows says.

The seed of the embedded default describes its own assistant. That holds for rows that its grammar made, and for no
other project's.
"""

from typing import Any

from tasks.core.paths import PATHS
from tasks.report.gather import RunResults
from tasks.report.settings import Settings

GENERAL = {
    "title": "Fine-tuned model",
    "purpose": "A language model fine-tuned with temper.",
    "licence": "other",
    "base_licence": "unknown",
    "data_licence": "unknown",
    "limits": "",
}
"""What is said where nobody says more. Of limits nothing: only who made a model knows them."""

NO_LIMITS = (
    "report.limits is not set, so the model card names no limits; set it to a sentence or two on what the model cannot "
    "do and was not tested on."
)


def lacks_limits(params: Any) -> bool:
    """Whether the card will say nothing of limits. `params`: the whole of params.yaml."""
    of_seed = params.generate.recipe == "program" and params.clean.input == str(PATHS.generated)
    return params.report.limits is None and not of_seed


def described(settings: Settings, results: RunResults) -> Settings:
    """The settings with a text for each that is null.

    described(Settings(title="My model"), gather(Paths())).purpose
    """
    own = {name: value for name, value in settings.model_dump().items() if value is not None}
    return Settings(**{**GENERAL, **_of_seed(results), **own})


def _of_seed(results: RunResults) -> dict[str, Any]:
    """What the seed says, as far as the model was made of it."""
    card = results.generated.get("card") or {}
    if results.settings.get("clean", {}).get("input") != str(PATHS.generated):
        return {}
    about = {name: card[name] for name in ("title", "purpose", "limits") if name in card}
    licence = card.get("licence")
    if licence:
        about["data_licence"] = licence
        if results.base["kind"] == "trained" and "from" not in results.base:
            about |= {"licence": licence, "base_licence": licence}
    return about
