"""Ask a teacher on a server how likely it finds each token that is trained, once; `align` learns from what it says.

    python -m tasks distill SPLIT

In: data/templated (token ids and labels of the split, tokenizer), and data/likelihoods/SPLIT.jsonl where it exists:
every response that was ever paid for. Out: data/distilled/SPLIT (`rows.arrow`: the rows, with the teacher's likeliest
tokens at each labelled one; `distilled.json`: who was asked and what it cost; `settings.json`), and the record of
responses with what was new.
"""

from tasks.core.declaration import ITEM, Entry, Stage, tracked
from tasks.core.paths import PATHS, Paths
from tasks.distill.settings import Settings

__all__ = ["STAGE", "Settings", "run", "validate"]


def run(settings: Settings, paths: Paths, split: str = "") -> None:
    """Ask and write; see the module's docstring."""
    from tasks.distill.run import distill

    distill(settings, paths, split)


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings, the rows that are there, and a server that is there."""
    if not settings.splits:
        return
    from tasks.distill.ready import check

    check(settings, paths)


STAGE = Stage(
    name="distill",
    about="A teacher's probabilities of the trained tokens.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(
        Entry(
            foreach="distill.splits",
            item=ITEM,
            inputs=(PATHS.tokens(ITEM), PATHS.tokenizer),
            outputs=(PATHS.distilled(ITEM),),
            records=(PATHS.likelihoods(ITEM),),
            params=tracked("distill", Settings, but=("splits",)),
        ),
    ),
    item="SPLIT",
    teachers=Settings.teachers,
)
