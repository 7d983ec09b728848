"""A finished run, a fresh one for each test."""

from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tests.tasks.report.finished_run import finished


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return finished(tmp_path)
