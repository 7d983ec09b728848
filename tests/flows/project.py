"""A small project of twelve quick stages with temper's own params.yaml, and the `dvc` command on it."""

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flows.server import credentials
from tests.flows.commands import dvc

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parent / "toy"
TEMPER = (sys.executable, "-m", "flows.cli.main")
STAGES = {
    *("base", "generate", "clean", "train", "merge", "report"),
    *(f"{kind}@{scheme}" for kind in ("quantize", "evaluate") for scheme in ("nf4", "int8", "gguf-q8_0")),
}
BELOW_TRAIN = {stage for stage in STAGES if stage not in {"base", "generate", "clean"}}


class Toy:
    """A copy of the toy project, the current folder of the test."""

    def __init__(self, path: Path, api: str) -> None:
        self.path = path
        self.gate = path.parent / f"{path.name}-gate"
        self.gate.mkdir(exist_ok=True)
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PREFECT_API_URL": api,
            "TOY_GATE": str(self.gate),
            "DVC_NO_ANALYTICS": "1",
            "DO_NOT_TRACK": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{f"GIT_{who}_{what}": "toy@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def flow(self, *, name: str | None = None, **options: Any) -> dict[str, str]:
        """Run the flow in this process, as a flow run of that name; return how each stage became current."""
        from flows.finetune import finetune

        named = finetune.with_options(flow_run_name=name) if name else finetune
        outcomes: Any = named(**options)
        return {name: outcome.how for name, outcome in outcomes.items()}

    def meanwhile(self, stage: str, act: Callable[[], object]) -> dict[str, str]:
        """Run the flow; act while `stage` runs, then let it go on."""
        gate = self.hold(stage)

        def interfere() -> None:
            self.held(stage)
            try:
                act()
            finally:
                gate.unlink()

        helper = threading.Thread(target=interfere)
        helper.start()
        try:
            return self.flow()
        finally:
            helper.join()

    @property
    def admitted(self) -> dict[str, str]:
        """The environment of a program that is no command of temper: those find the server's password themselves."""
        known = credentials.known(self.environment["PREFECT_API_URL"])
        return {"PREFECT_API_AUTH_STRING": known, **self.environment}

    def call(self, *command: str, check: bool = True) -> str:
        """Run a command here to its end; return what it printed."""
        stranger = command[0] == sys.executable and command[: len(TEMPER)] != TEMPER
        done = subprocess.run(
            command, cwd=self.path, env=self.admitted if stranger else self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def temper(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `temper` as a process of its own."""
        pipe, command = subprocess.PIPE, [*TEMPER, *arguments]
        return subprocess.Popen(command, cwd=self.path, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def failed(self, *arguments: str) -> str:
        """What `temper` writes to standard error when it is refused, with 1, in this process and the current folder."""
        from flows.cli.main import main

        assert self.path == Path.cwd()
        server = {"PREFECT_API_URL": self.environment["PREFECT_API_URL"]}
        with patch.dict(os.environ, server), redirect_stdout(StringIO()), redirect_stderr(StringIO()) as stream:
            code = main([*arguments])
        gc.enable()  # a run collects nothing before it has loaded its libraries
        errors = stream.getvalue()
        assert code == 1, errors
        assert "Traceback" not in errors
        return errors

    def command(self, *arguments: str) -> str:
        """Run `temper` to its end; return what it printed."""
        return self.call(*TEMPER, *arguments)

    def dvc(self, *arguments: str) -> str:
        """Run `dvc`, which must succeed; return what it printed."""
        code, output = dvc(arguments, self.path, self.environment)
        assert code == 0, output
        return output

    def set(self, *assignments: str) -> None:
        from flows.params.model import change

        change(list(assignments), path=self.path / "params.yaml")

    def hold(self, stage: str) -> Path:
        """Make `stage` wait while the returned file exists. Who waited before is forgotten."""
        (self.gate / f"pid-{stage}").unlink(missing_ok=True)
        gate = self.gate / f"hold-{stage}"
        gate.touch()
        return gate

    def held(self, stage: str) -> int:
        """Wait until `stage` waits; return its process id."""
        return int(until(lambda: _text(self.gate / f"pid-{stage}")))

    @property
    def lock(self) -> bytes:
        return (self.path / "dvc.lock").read_bytes()


def until(ask: Any, seconds: float = 120.0, pause: float = 0.02) -> Any:
    """Ask every `pause` seconds until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"nothing after {seconds} s"
        time.sleep(pause)
    return answer


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def states(flow_run: str) -> dict[str, str]:
    """Task name -> state name of a flow run, asked of the server until all are final."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    def ask() -> dict[str, str]:
        with get_client(sync_client=True) as client:
            where = FlowRunFilter(name=FlowRunFilterName(any_=[flow_run]))
            runs = client.read_task_runs(flow_run_filter=where)
        final = {run.name: str(run.state.name) for run in runs if run.state and run.state.is_final()}
        return final if len(final) == len(STAGES) else {}

    answer: dict[str, str] = until(ask)
    return answer
