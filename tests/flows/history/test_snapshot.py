"""Two runs of the past side by side: what is left out because it follows from what is listed."""

import json

import pytest

from flows.history.snapshot import Snapshot
from tasks.core.errors import SettingsError
from tests.flows.history.test_committed import DECISION, Commit, commit

__all__ = ["commit"]

OUTS = {
    "clean": ("data/own", "data/clean/train.parquet"),
    "train": ("data/clean/train.parquet", "data/trained"),
    "merge": ("data/trained", "data/merged"),
    "evaluate-base": ("data/base", "data/evaluation/base"),
    "evaluate-merged": ("data/merged", "data/evaluation/merged"),
    "report": ("data/evaluation", "data/report/report.html"),
}
"""Stage -> what it reads, and what it leaves."""


def lock(**changed: str) -> str:
    """A dvc.lock in which the outputs of the stages named, or the inputs named, have another hash."""
    stages = {
        name: {
            "cmd": "x",
            "deps": [{"path": path, "md5": changed.get(path, "0") * 32} for path in (dep, "tasks/core")],
            "outs": [{"path": out, "md5": changed.get(name.replace("-", "_"), "0") * 32}],
        }
        for name, (dep, out) in OUTS.items()
    }
    return json.dumps({"schema": "2.0", "stages": stages})


ALL = {"train": "1", "merge": "1", "evaluate_merged": "1", "report": "1"}


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        (ALL, ["data/trained changed", "and 3 outputs made of these"]),
        (
            {**ALL, "clean": "1", "evaluate_base": "1"},
            ["data/clean/train.parquet changed", "data/evaluation/base changed", "and 4 outputs made of these"],
        ),
        ({"merge": "1", "report": "1"}, ["data/merged changed", "data/report/report.html changed"]),
        (
            {**ALL, "clean": "1", "data/own": "1", "tasks/core": "1"},
            ["data/own changed", "1 part of temper's code changed", "and 5 outputs made of these"],
        ),
        ({}, ["the same"]),
    ],
)  # fmt: skip
def test_inputs_come_first_and_what_follows_is_only_counted(
    commit: Commit, changed: dict[str, str], lines: list[str]
) -> None:
    first, second = commit(lock=lock()), commit(lock=lock(**changed))
    differences = Snapshot(first).differences(Snapshot(second))
    start = differences.index("data and models") + 1
    assert differences[start : differences.index("", start)] == [f"  {line}" for line in lines]


def test_scores_that_differ_come_first_and_those_of_the_deciding_candidate_before_others(commit: Commit) -> None:
    def run(merged: float, nf4: float) -> str:
        values = {"base": 0.1, "nf4": nf4, "merged": merged}
        score = {name: {"exact_match": {"value": value}} for name, value in values.items()}
        return commit(lock=lock(), decision=json.dumps(DECISION), comparison=json.dumps({"candidates": score}))

    first, second = (Snapshot(run(*values)) for values in ((0.5, 0.4), (0.7, 0.5)))
    assert first.scores(second) == [
        "scores", "  merged exact match 0.5 -> 0.7", "  nf4 exact match 0.4 -> 0.5", "  1 other is the same",
    ]  # fmt: skip
    assert first.scores(first) == ["scores", "  the same"]
    assert "  both: promotion allowed: better" in first.differences(second)


def test_a_candidate_that_was_not_evaluated_is_named_with_the_nearest(commit: Commit) -> None:
    score = {name: {"exact_match": {"value": 0.5}} for name in ("base", "merged")}
    run = Snapshot(commit(lock=lock(), comparison=json.dumps({"candidates": score})))
    run.check_candidate("merged")
    with pytest.raises(
        SettingsError, match=f"^--candidate: {run.name} did not evaluate 'mergd'; did you mean 'merged'"
    ):
        run.check_candidate("mergd")
    Snapshot(commit(lock=lock())).check_candidate("merged")  # an older run, whose candidates are not known
