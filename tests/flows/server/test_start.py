"""What `temper ui` does before it becomes the server, and what `temper start` says beside the name of a run."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.operations import _start_notes
from flows.server import connect
from tasks.core.errors import MachineError
from tests.flows.project import ROOT

SERVE = """
import os
from flows.server import connect
os.execv = lambda *_: print(os.environ[connect.CLIENT] == os.environ[connect.SERVER] != "")
connect.serve({port})
"""


def test_a_port_that_another_program_has_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"^port {port} of 127.0.0.1 is in use; choose another one with --port"):
            connect.serve(port)


def test_what_the_server_starts_has_its_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SERVE.format(port=port)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "True"


def test_a_queued_run_that_may_not_end_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _start_notes("nosuch", at_work=True) == [], "outside of a project nothing is known of revisions"
    Path(".dvc/tmp").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet"], check=True)
    worker, revision = _start_notes("nosuch", at_work=False)
    assert worker == "No worker is at work, so the run waits. Start one in the project: temper worker"
    assert revision.startswith("git has no revision 'nosuch' here.")


def test_a_run_names_the_server_that_runs_already(api: str) -> None:
    program = "import sys; from flows.server import connect; print(connect.choose(lambda line: print(line)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": api}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    page = api.removesuffix("/api")
    note = f"This run reports to the Prefect server at {page}, which is running already."
    assert done.stdout.splitlines() == [note, page]


def test_a_server_with_another_password_is_left_alone(tmp_path: Path, api: str) -> None:
    """As if there were none; one that the user names is an error."""
    program = (
        "import os, sys; from flows.server import connect, own; own.start = lambda: 'own';"
        f"connect.PORT = {api.rpartition(':')[2].partition('/')[0]};"
        "connect.address.__defaults__ = (connect.PORT,); print(repr(connect.choose(print)), flush=True);"
        "del os.environ[connect.CLIENT]; os.environ['PREFECT_API_URL'] = sys.argv[1]; connect.choose(print)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program, api]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    note, page = done.stdout.splitlines()
    assert "another password, so this run starts its own" in note and page == "''"
    assert done.returncode == 1 and "denies access" in done.stderr
