"""What a process starts ends with it, whatever session it is in and whoever its parent is by then."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.system.guardian import NAME
from tests.flows.project import ROOT, until

PROGRAM = """
import os, subprocess, sys, time
from pathlib import Path
from flows.system.guardian import guarded
CHILD = '''
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
if os.fork():
    if sys.argv[2] == "waits": os.wait()
    os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
with open(sys.argv[1], "a") as file: file.write(f"{os.getpid()} ")
time.sleep(600)
'''
for how in ("waits", "leaves"):
    command = [sys.executable, "-c", CHILD, sys.argv[1], how]
    subprocess.Popen(command, env={**os.environ, **guarded()}, start_new_session=True)
sys.stdin.read()
"""


class Parent:
    """A process with two descendants that nothing but a kill ends."""

    def __init__(self, folder: Path) -> None:
        noted = folder / "pids"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(noted)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        pids = until(lambda: noted.exists() and (words := noted.read_text().split()) and len(words) == 2 and words)
        self.descendants = [psutil.Process(int(pid)) for pid in pids]
        self.guardian = next(p for p in psutil.Process(self.process.pid).children() if "guardian.py" in p.cmdline()[2])

    def left(self) -> list[psutil.Process]:
        return [one for one in (*self.descendants, self.guardian) if one.is_running()]


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    parent = Parent(tmp_path)
    yield parent
    for process in parent.descendants:
        if process.is_running():
            process.kill()
    parent.process.kill()
    parent.process.communicate()


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_nothing_outlives_a_process_that_dies(parent: Parent, deadly: signal.Signals) -> None:
    os.killpg(parent.process.pid, deadly)
    parent.process.wait()
    until(lambda: not parent.left())


def test_what_a_process_leaves_behind_at_a_usual_end_stays(parent: Parent) -> None:
    parent.process.communicate()
    assert parent.process.returncode == 0
    assert parent.left() == parent.descendants


def test_signals_for_the_whole_terminal_do_not_end_the_guardian(parent: Parent) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        parent.guardian.send_signal(number)
    parent.process.kill()
    parent.process.wait()
    until(lambda: not parent.left())


def test_the_guardian_itself_has_no_mark(parent: Parent) -> None:
    assert NAME not in parent.guardian.environ()
    assert {one.environ()[NAME].partition("-")[0] for one in parent.descendants} == {str(parent.process.pid)}
