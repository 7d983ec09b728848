"""Files appear under their final name only when complete."""

from pathlib import Path

import pytest

from tasks.core.files import write_json, written


def test_a_failure_leaves_the_old_file_and_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), written(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "stale").touch()
    with written(path) as aside:
        aside.mkdir()
        (aside / "fresh").write_text("1")
    assert [file.name for file in path.iterdir()] == ["fresh"]


def test_what_a_killed_run_left_aside_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "model"
    (tmp_path / ".model.writing").mkdir()
    (tmp_path / ".model.writing" / "stale").touch()
    with written(path) as aside:
        aside.mkdir()
        (aside / "fresh").touch()
    assert [file.name for file in path.iterdir()] == ["fresh"]


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "y": [2, "ü"]})
    write_json(tmp_path / "b", {"y": [2, "ü"], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_not_a_number_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", float("nan"))
    assert not (tmp_path / "a").exists()
