"""A disk that fills in the midst of training: a sentence, the last good checkpoint, and the same bytes in the end."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import MachineError
from tasks.template import stage as template
from tasks.train import run
from tasks.training import callbacks, checkpoints
from tests.disk import small_disk
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL, hashes


def test_a_full_disk_keeps_the_last_checkpoint_and_with_room_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    paths = tiny.project(tmp_path / "project", method="none")
    template.run(template.Settings(), paths)
    run.tune(SMALL, paths)
    first = hashes(paths)
    with small_disk(tmp_path / "disk") as disk:
        shutil.rmtree(paths.scratch(""))
        paths.scratch("").symlink_to(disk.path)
        ended = callbacks.MonitorCallback.on_step_end

        def on_step_end(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            ended(self, args, state, control, **kwargs)
            if state.global_step == 3:
                disk.fill()

        with monkeypatch.context() as patch:
            patch.setattr(callbacks.MonitorCallback, "on_step_end", on_step_end)
            with pytest.raises(MachineError, match=r"train: the disk with .* is full; free some space and run again"):
                run.tune(SMALL, paths)
        disk.empty()
        (scratch,) = disk.path.glob("train-*")
        assert checkpoints.latest(scratch) == scratch / "checkpoint-2"
        run.tune(SMALL, paths)
        assert "from checkpoint-2" in capsys.readouterr().out
        assert hashes(paths) == first
