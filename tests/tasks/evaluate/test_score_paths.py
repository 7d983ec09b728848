"""The paths of numbers that a run's settings foresee."""

import pytest

from tasks.evaluate.score_paths import fault
from tasks.evaluate.settings import Settings

EVALUATE = Settings.model_validate(
    {
        "metrics": [{"kind": "exact_match"}, {"kind": "regex", "name": "form.a", "pattern": "x"}],
        "models": {"old": "data/old", "old.v2": "data/old2"},
    }
)


@pytest.mark.parametrize(
    "path",
    [
        "candidates.merged.exact_match.value",
        "candidates.base_few_shot.exact_match.n",
        "candidates.gguf-q8_0.form.a.low",
        "candidates.old.v2.exact_match.high",
        "candidates.merged.slices.version 1.2.form.a.value",
    ],
)
def test_numbers_of_a_run(path: str) -> None:
    assert fault(path, EVALUATE, ["gguf-q8_0"]) == ""


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("candidates.merged.exact_match", "did you mean 'candidates.merged.exact_match.value'?"),
        ("candidates.merged.token_f1.value", "did you mean"),
        ("candidates.nf4.exact_match.value", "did you mean"),
        ("candidates.merged.exact_match.better", "did you mean"),
        ("candidates.merged.slices.exact_match.value", "did you mean"),
        ("exact_match", "did you mean"),
        ("x", "known numbers are: candidates.adapter.exact_match.value, "),
        ("", "known numbers are: "),
    ],
)
def test_others_are_refused_with_the_nearest(path: str, near: str) -> None:
    assert near in fault(path, EVALUATE, ["gguf-q8_0"])
