"""The pipeline as a watched child process, for distilabel waits for ever when one of its steps is killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tasks.core.errors import InputError, MachineError, TemperError, Unavailable, from_json
from tasks.core.files import write_json
from tasks.core.numbers import counted
from tasks.core.protocol import ASK, parse
from tasks.generate.pipeline import ANSWERS, ENDING
from tasks.generate.settings import Settings
from tasks.teacher.response_store import STOP

LAST_LINES = 15
"""How much of a failed pipeline's output the error shows (lines)."""

LOOK = 0.2
"""Seconds between two looks at the child."""

MODULE = "tasks.generate.pipeline"


class Watched:
    """A pipeline's process and all that came from it; ended together, whatever happens."""

    def __init__(
        self,
        work: Path,
        settings: Settings,
        used: Callable[[], int],
        responses: Callable[[], int],
        report: Callable[[int], None],
    ) -> None:
        """`used`: how many responses were used, which grows while the pipeline is alive, and is reported.
        `responses`: how many are on record."""
        self._work, self._settings, self._used, self._responses, self._report = work, settings, used, responses, report
        self._output = work / "output.txt"
        self._steps: dict[int, psutil.Process] = {}

    def run(self) -> None:
        """Run the pipeline to its end.

        Raises `InputError` for what settings or environment have wrong, `MachineError` where a process of the pipeline
        is gone, `Unavailable` where the teacher is, or nothing came for `generate.timeout` seconds, and else the error
        that the pipeline reports.
        """
        for left in (STOP, ANSWERS, ENDING):
            (self._work / left).unlink(missing_ok=True)
        with self._output.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(self._work)], stdin=subprocess.DEVNULL, stdout=sink,
                stderr=subprocess.STDOUT, env=_environment(self._work), start_new_session=True,
            )  # fmt: skip
            try:
                code = self._wait(process)
            finally:
                _end(process)
        self._stopped()
        if code or not (self._work / ANSWERS).is_file():
            for error in self._reported():
                raise error
            raise MachineError(f"generate: the pipeline failed (exit code {code}). {self._said()}")
        for line in self._complaints():
            print(line, flush=True)

    def _wait(self, process: "subprocess.Popen[bytes]") -> int:
        seen, since, looked = self._used(), time.monotonic(), 0.0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(LOOK)
            self._stopped()
            now = time.monotonic()
            if now - looked < 1.0:
                continue
            looked = now
            if (count := self._used()) > seen:
                seen, since = count, now
            self._report(count)
            if now - since > self._settings.timeout:
                raise Unavailable(
                    f"generate: no new response within {self._settings.timeout} seconds (generate.timeout), so the "
                    "pipeline was stopped. Check the teacher, or raise the limit; responses so far are kept. "
                    f"{self._said()}"
                )
            self._look_for_the_dead(process)

    def _look_for_the_dead(self, process: "subprocess.Popen[bytes]") -> None:
        """Raise `MachineError` where a process that was forked from the pipeline has gone before all was done."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                if child.pid not in self._steps:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if MODULE in child.cmdline():
                            self._steps[child.pid] = child
        gone = [pid for pid, step in self._steps.items() if not _alive(step)]
        # First who is gone, then whether that was the end: the other way round, the end could fall between the two.
        if gone and process.poll() is None and not (self._work / ENDING).exists():
            raise MachineError(
                f"generate: a step of the pipeline was killed (process {gone[0]}); if nobody killed it, memory ran "
                "out: see `dmesg`. Run again: responses so far are kept, and only missing ones are requested."
            )

    def _stopped(self) -> None:
        """Raise what the teacher's step says, if it has found that nothing more can be asked."""
        with contextlib.suppress(FileNotFoundError):
            stop = json.loads((self._work / STOP).read_text(encoding="utf-8"))
            kind: type[TemperError] = InputError if stop["kind"] == "input" else Unavailable
            count = self._responses()
            kept = f"{counted(count, 'responses')} {'is' if count == 1 else 'are'} kept"
            raise kind(
                f"generate.teacher: {stop['message']}. {kept}; fix this and run again: only missing ones are requested."
            )

    def _complaints(self) -> list[str]:
        """Lines of the pipeline's output that a person should see."""
        lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)][:LAST_LINES]

    def _reported(self) -> list[TemperError]:
        messages = [parse(line) for line in self._output.read_text(encoding="utf-8", errors="replace").split("\n")]
        return [from_json(message[1]) for message in messages if message and message[0] == "error"]

    def _said(self) -> str:
        lines = self._output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "Its last lines:\n" + "\n".join(lines[-LAST_LINES:]) if lines else "It printed nothing."


def place_order(work: Path, settings: Settings, start: int, stop: int, **more: str) -> None:
    """Write what the pipeline is to do next: rows `start` to `stop` of the order."""
    order = {"settings": settings.model_dump(mode="json"), "start": start, "stop": stop, **more}
    write_json(work / "order.json", order)


def _environment(work: Path) -> dict[str, str]:
    return {
        **os.environ,
        **ASK["error"],
        "DISTILABEL_LOG_LEVEL": "WARNING",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(work / "datasets"),
        "NO_COLOR": "1",
        "COLUMNS": "240",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])),
    }


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
