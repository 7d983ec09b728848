"""One page, one model card, and every prediction to read.

    python -m tasks report

In: what every stage left in data/. Out: data/report (`report.html` and `predictions.html`, each one file
without any outside resource; `model_card.md` in the hub's format; `comparison.json`, the scores of every candidate).
"""

from tasks.core.declaration import Entry, Stage
from tasks.core.paths import PATHS, Paths
from tasks.report.settings import Settings

__all__ = ["STAGE", "Settings", "run"]


def run(settings: Settings, paths: Paths) -> None:
    """Gather and write; see the module's docstring."""
    from tasks.report.run import write

    write(settings, paths)


STAGE = Stage(
    name="report",
    about="The page and the model card.",
    settings=Settings,
    run=run,
    entries=(
        Entry(
            inputs=(
                PATHS.aligned,
                PATHS.base,
                PATHS.ledger,
                PATHS.profile,
                PATHS.comparisons,
                PATHS.decided,
                PATHS.distilled(""),
                PATHS.evaluation(""),
                PATHS.generated,
                PATHS.judged(""),
                PATHS.merged,
                PATHS.quantized(""),
                PATHS.audit,
                PATHS.preview,
                PATHS.fitted,
            ),
            outputs=(PATHS.card, PATHS.predictions, PATHS.page),
            metrics=(PATHS.comparison,),
            params=(
                "align",
                "base",
                "clean",
                "decide",
                "distill",
                "evaluate",
                "generate",
                "judge",
                "merge",
                "quantize",
                "report",
                "template",
                "train",
            ),
        ),
    ),
)
