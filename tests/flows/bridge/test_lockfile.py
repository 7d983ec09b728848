"""Each entry of dvc.lock is written as DVC writes it, beside the text of the others."""

from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import modify_yaml, parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from flows.bridge.lockfile import record, sort

# Without the line breaks of Unicode: DVC's parser takes them for its own, and changes them in stages it writes anew.
TEXT = some.one_of(
    some.text("ab c:#'\"{}[]-?&*!|>%@`,\n\t é字🙂", max_size=100),
    some.sampled_from(["", "null", "yes", "1e3", "0x1f", "2026-01-01", "~", "a: b", "- a", "word " * 60, "x" * 200]),
)
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.sampled_from([2e-3, 5e-05, 1e-8, 0.95, 1e20]) | TEXT,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def entry(params: Any) -> dict[str, Any]:
    """An entry with these parameters, as DVC makes them for a stage."""
    out = {"path": "data/out", "hash": "md5", "md5": "d8e8fca2dc0f896fd7cb4cb0031ba249.dir", "size": 3, "nfiles": 2}
    return {
        "cmd": "python -m tasks train",
        "deps": [{"path": "tasks/train.py", "hash": "md5", "md5": "9" * 32, "size": 7}],
        "params": {"params.yaml": {"train": params}},
        "outs": [out],
    }


def written_by_dvc(path: Path, stage: str, added: dict[str, Any]) -> None:
    """What `Lockfile.dump_stages` does with the file (dvc/dvcfile.py)."""
    with modify_yaml(path) as document:
        if not document:
            document.update({"schema": "2.0"})
        document["stages"] = document.get("stages", {})
        document["stages"].update({stage: added})


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(params=VALUES, other=VALUES)
def test_the_bytes_are_those_of_dvc(tmp_path_factory: pytest.TempPathFactory, params: Any, other: Any) -> None:
    folder = tmp_path_factory.mktemp("lock")
    ours, theirs = folder / "ours.lock", folder / "theirs.lock"
    for stage, values in [("train", other), ("quantize@int8", params), ("train", params)]:
        before = ours.read_bytes() if ours.exists() else None
        if not record(ours, stage, entry(values)):
            assert (ours.read_bytes() if ours.exists() else None) == before
            written_by_dvc(ours, stage, entry(values))
        written_by_dvc(theirs, stage, entry(values))
        assert ours.read_bytes() == theirs.read_bytes()


def test_usual_settings_need_no_help_of_dvc_and_order_follows_the_names(tmp_path: Path) -> None:
    lock, theirs = tmp_path / "dvc.lock", tmp_path / "theirs.lock"
    usual = {"learning_rate": 2e-3, "system": "You are é: 'short'.", "schemes": [], "limit": None, "long": "word " * 60}
    for stage in ("train", "base", "evaluate@int8", "base"):
        assert record(lock, stage, entry(usual | {"for": stage}))
    for stage in ("base", "train", "evaluate@int8"):
        written_by_dvc(theirs, stage, entry(usual | {"for": stage}))
    sort(lock, {"base": 0, "train": 1})
    assert lock.read_bytes() == theirs.read_bytes()


def test_numbers_of_all_digits_stay_as_they_are_when_other_stages_end(tmp_path: Path) -> None:
    """DVC, which writes all stages anew, makes another number of this one: ruamel counts its digits in floats."""
    lock, learning_rate = tmp_path / "dvc.lock", 8.452466488177592e-05
    for stage in ("train", "merge"):
        assert record(lock, stage, entry({"learning_rate": learning_rate}))
    kept = parse_yaml(lock.read_text(), str(lock))["stages"]["train"]
    assert kept == entry({"learning_rate": learning_rate})


@pytest.mark.parametrize("text", ["", "stages:\n", "# mine\nschema: '2.0'\nstages:\n", "schema: '2.0'\nstages: {}\n"])
def test_another_layout_is_left_to_dvc(text: str, tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text(text)
    assert not record(lock, "train", entry({}))
    assert lock.read_text() == text
