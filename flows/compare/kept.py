"""What commits of runs hold, kept by commit in .dvc/tmp: a commit never changes, so that each is read once.

    kept = load()
    run = of(kept[commit], ...)

The file is for one version of the code that reads commits: another one reads them anew.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.compare.scores import Key, Score
from tasks.core.files import fingerprint, write_text
from tasks.core.paths import PATHS
from tasks.core.temporary import writable

FLOWS = Path(__file__).parent.parent

READERS = [
    FLOWS / name
    for name in ("compare/kept.py", "compare/runs.py", "compare/scores.py", "bridge/lockfile.py",
                 "history/committed.py", "history/origins.py",
                 "params/diff.py")
]  # fmt: skip
"""Code that decides what is read of a commit."""

Facts = dict[str, Any]
"""Of a run what its commit holds: `decision`, `settings`, `changed`, `scores` and `outs`, as fields of `Run`."""


def load() -> dict[str, Facts]:
    """By commit, what is kept; nothing of a file that cannot be read, or that other code wrote."""
    try:
        document = json.loads(PATHS.compared.read_bytes())
        if document["version"] != _version():
            return {}
        return {commit: facts | {"scores": _scores(facts["scores"])} for commit, facts in document["runs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def save(runs: Mapping[str, Facts]) -> None:
    """Keep these, and no others."""
    if not PATHS.state.is_dir() or not writable(PATHS):  # no project of DVC, or somebody else's: nothing is left there
        return
    document = {
        "version": _version(),
        "runs": {commit: facts | {"scores": _as_lists(facts["scores"])} for commit, facts in runs.items()},
    }
    write_text(PATHS.compared, json.dumps(document))


def _version() -> str:
    return fingerprint([file.read_text(encoding="utf-8") for file in READERS])


def _as_lists(scores: Mapping[Key, Score]) -> list[list[Any]]:
    return [
        [*key, *(None if isinstance(value, float) and math.isnan(value) else value for value in score)]
        for key, score in scores.items()
    ]


def _scores(lists: list[list[Any]]) -> dict[Key, Score]:
    return {
        Key(candidate, task, metric): Score(
            value, math.nan if low is None else low, math.nan if high is None else high, n, lower
        )
        for candidate, task, metric, value, low, high, n, lower in lists
    }
