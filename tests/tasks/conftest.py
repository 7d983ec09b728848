"""Projects to work in, a fresh one for each test."""

import shutil
from pathlib import Path

import pytest

from tasks.core.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Nothing but a folder `input`."""
    (tmp_path / "input").mkdir()
    return Paths(tmp_path)


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Paths:
    """A copy of the data that the fixture `made` of a test's own file has made once."""
    shutil.copytree(made / "data", tmp_path / "data")
    return Paths(tmp_path)
