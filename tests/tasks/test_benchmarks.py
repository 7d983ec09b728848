"""Tasks of lm-eval are known as lm-eval itself knows them, without reading all of its files."""

from pathlib import Path
from typing import Any

import pytest

from tasks import benchmarks
from tasks.core.errors import SettingsError
from tasks.evaluate.benchmark_checks import _configs

lm_eval = pytest.importorskip("lm_eval.tasks")


def known(name: str, scoring: Path) -> Any:
    return benchmarks.manager(name, scoring, "evaluate.benchmarks")


def test_a_task_is_found_in_its_folder_and_a_group_with_all_its_parts(tmp_path: Path) -> None:
    """By the files themselves: a subject of MMLU is a file of one folder."""
    assert len(known("arc_easy", tmp_path / "none").all_tasks) < 20
    mmlu = known("mmlu", tmp_path / "none")
    subjects = Path(lm_eval.__file__).parent.glob("mmlu/default/mmlu_*.yaml")
    assert {name for name, _ in _configs(mmlu, "mmlu", "mmlu")} == {file.stem for file in subjects}
    assert len(mmlu.all_tasks) < 1000, "lm-eval has more than 14,000"


def test_a_task_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    for shots in (1, 12):
        file.write_text(f"task: own\ndataset_path: json\nnum_fewshot: {shots}\n")
        assert known("own", tmp_path).task_index["own"].cfg["num_fewshot"] == shots


@pytest.mark.long  # lm-eval reads all of its tasks
def test_names_stand_for_what_they_stand_for_among_all(tmp_path: Path) -> None:
    every = lm_eval.TaskManager().task_index

    def same(name: str, some: Any, seen: set[str]) -> bool:
        if name in seen:
            return True
        seen.add(name)
        one, other = every.get(name), some.get(name)
        if one is None or other is None:
            return one is other
        mine, theirs = ((entry.kind, entry.yaml_path, entry.cfg) for entry in (other, one))
        parts = [*benchmarks._parts(one)]
        return mine == theirs and parts == [*benchmarks._parts(other)] and all(same(part, some, seen) for part in parts)

    for name in (
        "arc_easy",
        "ai2_arc",
        "hellaswag",
        "gsm8k",
        "mmlu",
        "mmlu_stem_tasks",
        "leaderboard",
        "blimp",
        "glue",
    ):
        assert same(name, known(name, tmp_path / "none").task_index, set()), name
    with pytest.raises(SettingsError, match="did you mean 'arc_easy'"):
        known("arc_eazy", tmp_path / "none")
