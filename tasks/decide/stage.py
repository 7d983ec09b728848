"""Decide whether the tuned model is worth shipping: compare every candidate row by row, and apply the rules.

    python -m tasks decide

In: data/evaluation, data/judged, data/best (the scores of the run promoted last, written by `temper promote`), and what
the stages before have found. Out: data/decision (`decision.json`, the verdict and the numbers behind it;
`comparisons.json`, every comparison with interval, test and effect). The stage ends well whatever the verdict: a run
whose promotion is refused is a result as well.
"""

from tasks.core.declaration import Entry, Stage
from tasks.core.paths import PATHS, Paths
from tasks.decide.settings import Settings

__all__ = ["STAGE", "Settings", "run"]


def run(settings: Settings, paths: Paths) -> None:
    """Compare and decide; see the module's docstring."""
    from tasks.decide.run import decide

    decide(settings, paths)


STAGE = Stage(
    name="decide",
    about="Whether the tuned model is worth shipping.",
    settings=Settings,
    run=run,
    entries=(
        Entry(
            inputs=(PATHS.best, PATHS.ledger, PATHS.evaluation(""), PATHS.judged(""), PATHS.audit),
            outputs=(PATHS.comparisons,),
            metrics=(PATHS.decided,),
        ),
    ),
)
