"""Let a teacher judge one candidate's answers against another's, each pair in both orders.

    python -m tasks judge CANDIDATE

In: data/evaluation/CANDIDATE and data/evaluation/AGAINST, data/clean/test.parquet, and data/judgements/CANDIDATE.jsonl
where it exists: every response that was ever paid for. Out: data/judged/CANDIDATE (`judged.json`: wins, ties and
losses, how often both orders agree, and what the judge leans to; `judgements.parquet`: every pair with what was said of
it; `settings.json`), and the record of responses with what was new.
"""

from tasks.core.declaration import ITEM, Entry, Stage, tracked
from tasks.core.paths import PATHS, Paths
from tasks.judge.settings import Settings

__all__ = ["STAGE", "Settings", "run"]


def run(settings: Settings, paths: Paths, candidate: str = "") -> None:
    """Ask the judge and count; see the module's docstring."""
    from tasks.judge.run import judge

    judge(settings, paths, candidate)


STAGE = Stage(
    name="judge",
    about="A teacher's verdict on answers.",
    settings=Settings,
    run=run,
    entries=(
        Entry(
            foreach="judge.candidates",
            item=ITEM,
            inputs=(PATHS.rows("test"), PATHS.evaluation(ITEM), PATHS.evaluation("${judge.against}")),
            outputs=(PATHS.judged(ITEM),),
            records=(PATHS.judgements(ITEM),),
            params=tracked("judge", Settings, but=("candidates",)),
        ),
    ),
    item="CANDIDATE",
    teachers=Settings.teachers,
)
