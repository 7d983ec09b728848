"""Let a teacher judge one candidate's answers against another's, each pair in both orders.

    python -m tasks judge CANDIDATE

In: data/evaluation/CANDIDATE and data/evaluation/AGAINST, data/clean/test.parquet, and data/judgements/CANDIDATE.jsonl
where it exists: every response that was ever paid for. Out: data/judged/CANDIDATE (`judged.json`: wins, ties and
losses, how often both orders agree, and what the judge leans to; `judgements.parquet`: every pair with what was said of
it; `settings.json`), and the record of responses with what was new.
"""

from tasks.contract.paths import Paths
from tasks.judge.settings import Settings

__all__ = ["Settings", "run"]


def run(settings: Settings, paths: Paths, candidate: str = "") -> None:
    """Ask the judge and count; see the module's docstring."""
    from tasks.judge.judge import judge

    judge(settings, paths, candidate)
