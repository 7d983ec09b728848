"""The pipeline as a child process with a time limit, for distilabel waits for ever when one of its steps is killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tasks.contract.errors import InputError, MachineError
from tasks.contract.files import write_json
from tasks.contract.paths import Paths
from tasks.generate import Settings

LAST_LINES = 15
"""How much of a failed pipeline's output the error shows (lines)."""


def answers(
    settings: Settings, seed: Path, system: str | None, instructions: list[str], paths: Paths
) -> list[str | None]:
    """The teacher's answer to each instruction, in order; None where it gave none.

    Raises `InputError` where the key's variable is not set, `MachineError` where the pipeline fails, or takes longer
    than `generate.timeout`; whatever it started is ended then.
    """
    variable = settings.teacher.key_variable
    if settings.teacher.kind == "openai" and variable and not os.environ.get(variable):
        raise InputError(
            f"generate.teacher.key_variable = '{variable}': the environment has no such variable; set it to the "
            "server's key, or set the key to null for a server that needs none."
        )
    work = paths.scratch("generate").resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        write_json(
            work / "order.json",
            {
                "seed": str(seed.resolve()),
                "system": system,
                "batch_size": settings.batch_size,
                "teacher": settings.teacher.model_dump(mode="json"),
                "instructions": instructions,
            },
        )
        _run(work, settings.timeout)
        found: list[str | None] = json.loads((work / "answers.json").read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if len(found) != len(instructions):
        raise MachineError(f"generate: the pipeline gave {len(found)} answers to {len(instructions)} instructions.")
    return found


def _run(work: Path, timeout: int) -> None:
    """Run `tasks.generate.pipeline` in a process group of its own, and end the group whatever happens."""
    environment = {
        **os.environ,
        "DISTILABEL_LOG_LEVEL": "WARNING",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(work / "datasets"),
        "NO_COLOR": "1",
        "COLUMNS": "240",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])),
    }
    output = work / "output.txt"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.generate.pipeline", str(work)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"generate: the pipeline did not end within {timeout} seconds (generate.timeout); it was ended. "
                f"Raise the limit, or look at the teacher. {_said(output)}"
            ) from None
        finally:
            _end(process)
    if code or not (work / "answers.json").is_file():
        raise MachineError(f"generate: the pipeline failed (exit code {code}). {_said(output)}")
    for line in _complaints(output):
        print(line, flush=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _complaints(output: Path) -> list[str]:
    """Lines of the pipeline's output that a person should see."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)][:LAST_LINES]


def _said(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "Its last lines:\n" + "\n".join(lines[-LAST_LINES:]) if lines else "It printed nothing."
