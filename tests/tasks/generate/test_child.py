"""Which process of a pipeline may go, and when."""

from pathlib import Path

import pytest

from tasks.core.errors import MachineError
from tasks.generate.child import Watched
from tasks.generate.settings import Settings

PIPELINE = """
import multiprocessing, sys, time
from pathlib import Path

def wait(name):
    while not (work / name).exists():
        time.sleep(0.02)

work = Path(sys.argv[1])
step = multiprocessing.get_context("fork").Process(target=wait, args=("seen",))
step.start()
(work / "forked").touch()
step.join()
(work / "gone").touch()
wait("looked")
(work / "answers.jsonl").touch()
"""
"""Forks a step that goes once it was seen, and ends once it was looked at after that."""


@pytest.mark.parametrize("announced", [True, False])
def test_a_step_may_go_once_the_end_is_announced(
    announced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up.py").write_text(PIPELINE)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tasks.generate.child.MODULE", "made_up")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    looks = {"forked": 0, "gone": 0}

    def report(_: int) -> None:
        """Called before each look: at the second call after something has happened, one look has seen it."""
        for name in looks:
            looks[name] += (work / name).exists()
        if looks["forked"] == 2:
            if announced:
                (work / "ending").touch()
            (work / "seen").touch()
        if looks["gone"] == 2:
            (work / "looked").touch()

    watched = Watched(work, Settings(), used=lambda: 0, responses=lambda: 0, report=report)
    if announced:
        watched.run()
        assert looks["gone"] >= 2
    else:
        with pytest.raises(MachineError, match="a step of the pipeline was killed"):
            watched.run()
        assert looks["gone"] < 2
