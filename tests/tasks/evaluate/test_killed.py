"""An evaluation that SIGKILL ends goes on: at most one batch is asked again, and the outputs are the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.evaluate.settings import Settings
from tasks.evaluate.stage import run
from tests.flows.project import until
from tests.tasks import tiny
from tests.tasks.generating import ROOT
from tests.tasks.tiny import contents

pytest.importorskip("torch")
pytestmark = pytest.mark.long

BATCHES = 4


def test_a_killed_process_asks_at_most_one_batch_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.evaluate.engine import Engine
    from tasks.merge import stage as merge

    paths = tiny.project(tmp_path)
    merge.run(merge.Settings(), paths)
    settings = {"max_new_tokens": 120, "batch_size": 8 // BATCHES}
    run(Settings.model_validate(settings), paths, "merged")
    before = contents(paths.evaluation("merged"))
    (paths.root / "params.yaml").write_text(json.dumps({"evaluate": settings}))
    record = paths.scratch("evaluate-merged")

    def lines() -> int:
        return sum(file.read_bytes().count(b"\n") for file in record.glob("*.jsonl"))

    command = [sys.executable, "-m", "tasks", "evaluate", "merged"]
    with subprocess.Popen(command, cwd=paths.root, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        until(lambda: lines() >= 2 or process.poll() is not None)
        process.kill()
    done = lines()
    assert 2 <= done < BATCHES
    batch_sizes: list[int] = []
    generate = Engine._generate

    def counted(self: Engine, batch: list[list[int]], *more: Any) -> Any:
        batch_sizes.append(len(batch))
        return generate(self, batch, *more)

    monkeypatch.setattr(Engine, "_generate", counted)
    run(Settings.model_validate(settings), paths, "merged")
    assert len(batch_sizes) == BATCHES - done and sum(batch_sizes) == 8 - done * 8 // BATCHES
    assert contents(paths.evaluation("merged")) == before
