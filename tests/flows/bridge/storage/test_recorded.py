"""A folder counts as what a stage wrote by its bytes alone."""

import os
import re
import shutil
from pathlib import Path

import pytest

from flows.bridge import check_recorded
from tasks.core.errors import InputError
from tests.flows.bridge.small import Project

MODEL, WEIGHTS = Path("data/model"), Path("data/model/weights.bin")
RESTORE = r"restore it with `dvc checkout --force data/model`, or run `temper run model`\.$"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, "copy")


def test_what_differs_from_the_record_is_named(project: Project) -> None:
    check_recorded(MODEL)
    check_recorded(project.path / MODEL)
    right, looked = WEIGHTS.read_bytes(), WEIGHTS.stat()
    WEIGHTS.chmod(0o644)
    WEIGHTS.write_bytes(right[::-1])
    os.utime(WEIGHTS, ns=(looked.st_atime_ns, looked.st_mtime_ns))  # the same size and time
    with pytest.raises(InputError, match=rf"^data/model is not what model wrote: weights.bin has changed.* {RESTORE}"):
        check_recorded(MODEL)
    check_recorded(MODEL / "deep")  # the rest of the folder is what it was
    WEIGHTS.write_bytes(right[: len(right) // 2])
    (MODEL / "deep/extra.json").touch()
    (MODEL / "deep/config.json").unlink()
    sentence = "wrote: deep/config.json is missing, deep/extra.json is new, weights.bin has changed, by the hashes in"
    with pytest.raises(InputError, match=re.escape(sentence)):
        check_recorded(MODEL)
    with pytest.raises(InputError, match=r"wrote: config.json is missing, extra.json is new, by"):
        check_recorded(MODEL / "deep")


def test_what_is_not_on_record(project: Project) -> None:
    shutil.copytree(MODEL, "copy")
    for folder in ("copy", "data"):
        sentence = f"^{folder}: no stage makes this folder, so no hash tells what belongs in it; name one"
        with pytest.raises(InputError, match=sentence):
            check_recorded(Path(folder))
    project.out("data/model").unlink()  # the list of its files; the hash is in dvc.lock
    check_recorded(MODEL)
    (MODEL / "extra").touch()
    with pytest.raises(InputError, match=f"wrote: its files have changed, by the hashes in dvc.lock; {RESTORE}"):
        check_recorded(MODEL)
    Path("dvc.lock").unlink()
    with pytest.raises(InputError, match=r"^data/model: dvc.lock has no hash of it; run `temper run model`"):
        check_recorded(MODEL)
