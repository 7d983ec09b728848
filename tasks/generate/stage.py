"""Synthetic rows: a recipe says what to ask, a teacher answers in a distilabel pipeline, checks say what stays.

    python -m tasks generate

In: the folder `generate.input`, and `data/responses.jsonl` where it exists: every response that was ever paid for.
Out: `data/generated/` with `rows.jsonl`, `left_out.jsonl`, `ledger.json` and `settings.json`, and the record of
responses with what was new. A response on record is never asked for again, so a second run needs no server.
"""

from tasks.core.declaration import Entry, Stage
from tasks.core.paths import PATHS, Paths
from tasks.generate.settings import Settings

__all__ = ["STAGE", "Settings", "run", "validate"]

LISTS = ("instructions", "dialogues", "preferences")
"""Recipes that start from lists of entries, which are read in an instant."""


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the entries that the recipe starts from, where they are there."""
    if settings.recipe in LISTS and (paths.root / settings.input).is_dir():
        from tasks.generate.recipes import load_recipe

        next(load_recipe(settings.recipe).order(settings, paths))


def run(settings: Settings, paths: Paths) -> None:
    """Make the rows and write `data/generated` and `data/responses.jsonl`."""
    from tasks.generate.run import generate

    generate(settings, paths)


STAGE = Stage(
    name="generate",
    about="Synthetic rows.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(Entry(inputs=("${generate.input}",), outputs=(PATHS.generated,), records=(PATHS.responses,)),),
    teachers=Settings.teachers,
)
