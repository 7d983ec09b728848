"""A disk that is full when DVC stores what a stage made."""

import re
import shutil
from pathlib import Path

import pytest

from tasks.core.errors import StageFailed
from tests.disk import small_disk
from tests.flows.project import Toy


def test_a_full_cache_stops_the_run_and_with_room_it_goes_on(toy: Toy, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        shutil.copytree(".dvc/cache", disk.path / "cache")
        toy.dvc("config", "cache.dir", str(disk.path / "cache"))
        toy.set("train.learning_rate=1e-4")
        before = toy.lock
        disk.fill()
        with pytest.raises(StageFailed, match=r"train: DVC could not store data/trained in its cache ") as failure:
            toy.flow()
        assert re.search(r"usually the disk is full.*dvc commit --force train", str(failure.value))
        assert toy.lock == before
        assert Path("data/trained/weights.txt").exists()
        disk.empty()
        toy.dvc("commit", "--force", "train")
        ways = toy.flow()
        assert ways["train"] == "unchanged"
        assert ways["report"] == "ran"
        assert "up to date" in toy.dvc("status")
