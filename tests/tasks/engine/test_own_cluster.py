"""A cluster that a stage starts for itself: seen from this machine only, and gone with the stage, however that ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.flows.project import ROOT, until

pytest.importorskip("ray")
pytestmark = pytest.mark.long

MARK = "TEMPER_TEST_OF_RAY"

KEYS = {"A_KEY": "sk-planted0key0one", "HF_TOKEN": "hf_planted0key0two"}
"""Keys of services, one of which the settings name; no process of a cluster, and no file of one, has any."""

CODE = """
import time
from pathlib import Path
from tasks.core.paths import Paths
from tasks.engine.chosen import chosen

def work(number):
    if number == 3:
        time.sleep(600)
    return number

with chosen(Paths(Path.cwd())) as engine:
    for number in engine.ordered(work, range(4)):
        print(number, flush=True)
"""


def marked(mark: str) -> Iterator[psutil.Process]:
    """Processes that have the mark in their environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                yield process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_cluster_whose_stage_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "params.yaml").write_text("judge: {teacher: {key_variable: A_KEY}}\nmachine: {engine: ray}\n")
    temporary, mark = tmp_path / "tmp", str(tmp_path)
    temporary.mkdir()
    environment = {**os.environ, MARK: mark, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), **KEYS}
    command = [sys.executable, "-c", CODE]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        started = list(marked(mark))
        assert len(started) > 3, "the cluster has processes of its own"
        addresses = {
            connection.laddr.ip.removeprefix("::ffff:")
            for one in started
            for connection in one.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert addresses == {"127.0.0.1"}
        assert not [one.cmdline() for one in started if one.pid != process.pid and {*KEYS} & {*one.environ()}]
        files = [file for file in temporary.rglob("*") if file.is_file()]
        assert [file for file in files if file.suffix in {".log", ".out", ".err"}], "Ray's logs are among them"
        assert not [file for file in files if any(key.encode() in file.read_bytes() for key in KEYS.values())]
        process.send_signal(number)
        process.wait(60)
    until(lambda: not list(marked(mark)))
