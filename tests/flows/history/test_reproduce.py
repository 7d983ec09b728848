"""`temper reproduce`: what differs is told with its reason, as far as the records show it."""

import pytest

from flows.bridge import Item, StageRecord
from flows.history import reproduce

OUTS = ["data/base", "data/evaluation/merged"]


def record(**deps: str) -> StageRecord:
    return StageRecord({path: Item(md5) for path, md5 in deps.items()}, {})


def test_an_input_that_no_stage_writes_is_named_with_what_to_do() -> None:
    """As after a promotion, which changes what a later decision reads."""
    old = record(**{"data/best": "1", "data/base/model": "1", "data/evaluation": "1"})
    new = record(**{"data/best": "2", "data/base/model": "2", "data/evaluation": "2"})
    assert list(reproduce._compare(old, new, [], OUTS)) == [
        "it read a different data/best",
        "it read a different data/base/model",
        "it read a different data/evaluation",
        "    data/best changed after dvc.lock was written; run temper run there, and commit dvc.lock with the change",
    ]
    assert list(reproduce._compare(old, old, [], OUTS)) == []


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Run", "only deployed runs do. Where a stage differs, another processor may be the reason."),
        ("Environment: {broken}", "not valid JSON, so the machines cannot be compared."),
        ('Environment: {"processor": "ENIAC"}', "environment: processor was ENIAC, but is "),
    ],
)
def test_the_machine_of_a_run_is_compared_or_said_to_be_unknown(
    message: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "git", lambda *command: message)
    monkeypatch.setattr(reproduce, "environment", lambda lock: {"processor": "here"})
    (answer,) = reproduce._environment("HEAD")
    assert line in answer
