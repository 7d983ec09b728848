"""Temporary files lie in the project, go with their process, and after a kill with the next one."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tasks.core.errors import MachineError
from tasks.core.identity import current
from tasks.core.paths import Paths
from tasks.core.temporary import NAME, SHORT, inherited, remove_dead, temporary_files, writable
from tests.disk import read_only
from tests.flows.project import ROOT

PROGRAM = """
import multiprocessing.util, os, signal, sys, tempfile
from pathlib import Path
from tasks.core.paths import Paths
from tasks.core.temporary import temporary_files
with temporary_files(Paths(Path(sys.argv[1]))):
    tempfile.mkdtemp()
    tempfile.NamedTemporaryFile(delete=False)
    if sys.argv[2:] == ["shared"]: multiprocessing.util.get_temp_dir()
    print(tempfile.gettempdir(), flush=True)
    if sys.argv[2:] == ["killed"]: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.delenv("TMPDIR", raising=False)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return Paths(tmp_path)


def ended(project: Paths, *how: str) -> Path:
    command = [sys.executable, "-c", PROGRAM, str(project.root), *how]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == (-9 if how == ("killed",) else 0), done.stderr
    assert not done.stderr
    return Path(done.stdout.strip())


def test_they_go_with_their_process(project: Paths) -> None:
    assert not os.path.lexists(ended(project))
    assert list(project.temporary.iterdir()) == []


def test_a_folder_of_multiprocessing_goes_before_the_one_that_it_lies_in(project: Paths) -> None:
    assert not os.path.lexists(ended(project, "shared"))
    assert list(project.temporary.iterdir()) == []


def test_what_a_kill_left_goes_with_the_next_process(project: Paths) -> None:
    used = ended(project, "killed")
    (left,) = project.temporary.iterdir()
    assert used.resolve() == left
    assert len(list(left.iterdir())) == 2
    with temporary_files(project):
        assert [folder.name for folder in project.temporary.iterdir()] == [str(current())]
        assert not os.path.lexists(used)
    assert list(project.temporary.iterdir()) == []


def test_of_a_living_process_nothing_is_removed_and_of_strangers_neither(project: Paths) -> None:
    names = [str(current()), "notes", str(current()._replace(boot="00000000", host="000000"))]
    for name in names:
        (project.temporary / name).mkdir(parents=True)
    remove_dead(project)
    assert {folder.name for folder in project.temporary.iterdir()} == set(names)
    old = project.temporary / names[2]
    os.utime(old, (0, 0))
    remove_dead(project)
    assert {folder.name for folder in project.temporary.iterdir()} == set(names[:2])


def test_sockets_fit_where_the_project_lies_deep(project: Paths) -> None:
    deep = Paths(project.root / ("folder" * 12) / ("folder" * 12))
    (deep.root / ".dvc/tmp").mkdir(parents=True)
    with temporary_files(deep):
        assert tempfile.gettempdir().startswith(SHORT)
        assert inherited()
        path = Path(tempfile.mkdtemp(prefix="sock-")) / "listener-12345678"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
        assert len(list(deep.temporary.glob("*/sock-*/listener-*"))) == 1
        link = Path(tempfile.gettempdir())
    assert not os.path.lexists(link)


def test_a_link_of_somebody_else_is_not_followed(project: Paths, tmp_path: Path) -> None:
    deep = Paths(project.root / ("folder" * 12))
    (deep.root / ".dvc/tmp").mkdir(parents=True)
    link = Path(f"{SHORT}{current()}")
    link.symlink_to(tmp_path)
    try:
        with temporary_files(deep):
            assert Path(tempfile.gettempdir()).is_relative_to(deep.root)
    finally:
        link.unlink(missing_ok=True)


def test_the_block_leaves_all_as_it_was_also_within_another(project: Paths, tmp_path: Path) -> None:
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    with temporary_files(project):
        folder = tempfile.gettempdir()
        with temporary_files(project):
            assert tempfile.gettempdir() == folder
        assert Path(folder).is_dir()
    assert (os.environ.get("TMPDIR"), tempfile.tempdir) == before
    with temporary_files(Paths(tmp_path / "no project")):
        assert (os.environ.get("TMPDIR"), tempfile.tempdir) == before


def test_of_a_project_that_can_only_be_read_they_lie_elsewhere(
    project: Paths, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("place")
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    dead = place / f"{NAME}{current()._replace(pid=1, start=0)}"
    dead.mkdir()
    assert writable(project)
    with read_only(project.root):
        assert not writable(project)
        with temporary_files(project, reads=True):
            (own,) = place.iterdir()
            assert own.name == f"{NAME}{current()}"
            assert own.stat().st_mode & 0o077 == 0
            assert Path(tempfile.gettempdir()).resolve() == own
            assert inherited()
            with temporary_files(project, reads=True):
                assert list(place.iterdir()) == [own]
        assert list(place.iterdir()) == []
        sentence = (
            rf"^{project.root}: you cannot write here \(the file system is read-only\); compare, history, .* work"
        )
        with pytest.raises(MachineError, match=sentence), temporary_files(project):
            pytest.fail("nothing is begun")
