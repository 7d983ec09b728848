"""Where a run of all tests has its temporary files."""

import os
import tempfile
from pathlib import Path

import pytest

from tests import shared


@pytest.mark.parametrize(("all_tests", "room", "in_memory"), [(True, 0, True), (True, 2**60, False), (False, 0, False)])
def test_temporary_files_of_all_tests_lie_in_memory_where_there_is_room(
    all_tests: bool, room: int, in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(shared, "MEMORY", memory)
    monkeypatch.setattr(shared, "ROOM", room)
    for name in (shared.NAME, "XDG_STATE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    shared.begin(all_tests=all_tests)
    try:
        kept = tempfile.mkdtemp()
        assert Path(kept).is_relative_to(memory) == Path(os.environ[shared.NAME]).is_relative_to(memory) == in_memory
        assert os.environ["TMPDIR"] == tempfile.gettempdir(), "processes that tests start follow"
    finally:
        shared.close()
    assert list(memory.iterdir()) == []
    assert Path(kept).exists() != in_memory, "of a single test they stay, to be looked at"
