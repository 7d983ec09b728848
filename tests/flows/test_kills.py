"""Kills and signals at random moments of `temper run` with a server of its own: nothing stays, and the rest is made.

After each one: no process and no temporary folder of the run is left, the next run ends with the same bytes as one
that nobody disturbed, and the server takes no run for running that does not.
"""

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from flows.system.guardian import NAME
from tasks.core.paths import Paths
from tests.flows.project import Toy, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]

CHANGE = "train.learning_rate=3e-6"

VICTIMS = ("run", "run", "stage", "all", "server", signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Trials:
    """A toy whose runs have servers of their own, and what came of a run of `CHANGE` that nobody disturbed."""

    def __init__(self, toy: Toy, folder: Path) -> None:
        self.toy, self.home, self.temporary = toy, folder / "home", folder / "temporary"
        self.temporary.mkdir()
        toy.environment.update(PREFECT_API_URL="", PREFECT_HOME=str(self.home), TMPDIR=str(self.temporary))
        self.begin()
        start = time.monotonic()
        assert self.wait(self.start()) == 0
        self.seconds = time.monotonic() - start
        self.lock = toy.lock

    def begin(self) -> None:
        """As before the change, and without memory of it."""
        shutil.rmtree(".dvc/cache/runs", ignore_errors=True)
        self.toy.call("git", "checkout", "--quiet", "dvc.lock", "params.yaml")
        self.toy.set(CHANGE)

    def start(self) -> "subprocess.Popen[str]":
        return self.toy.temper("run")

    def wait(self, run: "subprocess.Popen[str]") -> int:
        self.output = "".join(run.communicate(timeout=600))
        return run.returncode

    def family(self, pid: int) -> list[psutil.Process]:
        """All that the run `pid` started and that lives, wherever it stands now."""
        members = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(NAME, "").startswith(f"{pid}-") or process.ppid() == pid:
                    members.append(process)
        return members

    def states(self) -> dict[str, int]:
        with closing(sqlite3.connect(self.home / "prefect.db")) as base:
            return dict(base.execute("select state_type, count(*) from flow_run group by 1"))

    def disturb(self, run: "subprocess.Popen[str]", victim: "str | signal.Signals", chance: random.Random) -> None:
        """Kill a part of the run, or send it a signal as a terminal does."""
        family = self.family(run.pid)
        if isinstance(victim, signal.Signals):
            run.send_signal(victim)
        elif victim == "run":
            run.kill()
        else:
            with_words = {"stage": "work.py", "server": "flows.server.own"}.get(victim, "")
            chosen = [one for one in family if with_words in " ".join(_words(one))]
            for process in chance.sample(chosen, min(1, len(chosen))) if with_words else [*chosen, run]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def trials(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    folder = tmp_path_factory.mktemp("trials")
    shutil.copytree(finished, folder / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "toy")
        yield Trials(Toy(folder / "toy", ""), folder)


@pytest.mark.parametrize("seed", range(16))
def test_whatever_is_killed_the_next_run_makes_the_same_bytes(trials: Trials, seed: int) -> None:
    chance = random.Random(seed)
    victim, moment = VICTIMS[seed % len(VICTIMS)], chance.uniform(0.0, 1.0) * trials.seconds
    trials.begin()
    run = trials.start()
    with suppress(subprocess.TimeoutExpired):
        run.wait(moment)
    trials.disturb(run, victim, chance)
    code = trials.wait(run)
    print(f"seed {seed}: {victim!s} after {moment:.1f} s: {code}", end="")
    assert "Traceback" not in trials.output, trials.output
    if isinstance(victim, signal.Signals):
        assert code in {0, 128 + victim, -victim}, trials.output  # -: before the command had begun
    until(lambda: not trials.family(run.pid), 20)
    start = time.monotonic()
    assert trials.wait(trials.start()) == 0, trials.output
    print(f", again in {time.monotonic() - start:.1f} s")
    assert trials.toy.lock == trials.lock
    assert set(trials.states()) <= {"COMPLETED", "CRASHED", "FAILED"}, trials.output
    assert list(trials.temporary.iterdir()) == []
    assert list(Paths().temporary.iterdir()) == []
    claims = Path(".dvc/tmp/rwlock")
    assert not claims.exists() or set(map(str, json.loads(claims.read_text() or "{}").values())) <= {"{}"}
