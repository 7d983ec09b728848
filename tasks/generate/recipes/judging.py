"""The judge of the recipe `preferences`, on distilabel's UltraFeedback prompts."""

import json
import re
from typing import Any

from distilabel.steps.tasks.ultrafeedback import UltraFeedback

from tasks.generate.recipes.steps import Partial

_RATED = re.compile(r"Text\s+(\d+)\W{0,6}\s*Rating\W*?\s*([1-5])\b", re.IGNORECASE)
_RATING = re.compile(r"^\W*Rating\W*?\s*([1-5])\b", re.IGNORECASE | re.MULTILINE)


class Judge(Partial, UltraFeedback):  # type: ignore[misc]
    """Rates all answers at once; `ratings` is JSON, a list of as many numbers, or empty.

    distilabel's own reading takes a rating for the first answer wherever it stands, so that one that the judge left out
    moves all others.
    """

    add_raw_output: bool = False
    add_raw_input: bool = False
    reverse: bool = False
    """Whether the judge sees the last answer first; ratings are in the answers' own order all the same."""

    @property
    def outputs(self) -> list[str]:
        return ["ratings", "model_name"]

    def format_input(self, input: dict[str, Any]) -> Any:
        """UltraFeedback's prompt."""
        shown = input["generations"][::-1] if self.reverse else input["generations"]
        return super().format_input({"instruction": input["instruction"], "generations": shown})

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """The ratings, if there is one for each answer."""
        rated = ratings(output or "", len((input or {})["generations"]))
        return {"ratings": json.dumps(rated[::-1] if self.reverse else rated)}


def ratings(text: str, count: int) -> list[int]:
    """Ratings of answers 1 to `count`: by the number that each names, or in order where there are just as many."""
    named = {int(number): int(rating) for number, rating in _RATED.findall(text)}
    if set(named) == set(range(1, count + 1)):
        return [named[number] for number in range(1, count + 1)]
    listed = [int(rating) for rating in _RATING.findall(text)]
    return listed if len(listed) == count and not named else []
