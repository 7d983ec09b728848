"""A project of the benchmark: params.yaml, data, and stages as `python -m tasks` runs them, bounded in time."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.checkout import HERE
from benchmarks.result import last_line
from tasks.core.paths import Paths
from tasks.core.settings import PARAMS
from tasks.stages import names

LONGEST = 400
"""Characters of a reason."""


class StepFailed(RuntimeError):
    """A step did not work; carries the reason in one line."""


class Clock:
    """How long all steps together, and the one that runs, may still take."""

    def __init__(self, seconds: float, slower: float = 1) -> None:
        """`seconds` for all; a step has `slower` times its own."""
        self.end, self.slower = time.monotonic() + seconds, slower
        self.step_end = self.end

    def left(self) -> float:
        """Seconds for all that is to come."""
        return self.end - time.monotonic()

    def begin(self, seconds: float) -> None:
        """A step begins that may take so many seconds, or what is left."""
        self.step_end = min(self.end, time.monotonic() + seconds * self.slower)

    def run(self, folder: Path, *arguments: str, cpu: bool = False) -> str:
        """What `python -m ARGUMENTS` prints in `folder`. Raises `StepFailed` where it fails, or the step's time is up.

        `cpu`: it sees no card.
        """
        limit = self.step_end - time.monotonic()
        if limit <= 0:
            raise StepFailed(f"no time was left for {' '.join(arguments)}")
        command = [sys.executable, "-W", "ignore", "-m", *arguments]
        with (folder / "output.log").open("w+") as log, (folder / "errors.log").open("w+") as errors:
            process = subprocess.Popen(
                command, cwd=folder, env=_environment(cpu), stdin=subprocess.DEVNULL, stdout=log, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                raise StepFailed(f"{' '.join(arguments)} took more than {limit:.0f} s") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            log.seek(0)
            errors.seek(0)
            printed, complaints = log.read(), errors.read()
        if code:
            raise StepFailed(f"{' '.join(arguments)}: {_reason(complaints or printed, code)}")
        return printed


class Project:
    """The folder `root` with the model `model`, which may lie elsewhere."""

    def __init__(self, root: Path, model: Path, clock: Clock, settings: dict[str, Any], cpu: bool) -> None:
        self.root, self.clock, self.cpu = root, clock, cpu
        self.paths = Paths(root)
        self.settings: dict[str, Any] = {section: {} for section in names()} | settings
        root.mkdir()
        (root / "model").symlink_to(model)
        self.paths.data.mkdir()

    def stage(self, name: str, item: str = "", **settings: Any) -> None:
        """Run a stage with `settings` of its section beside those of the project."""
        self._set(name, settings)
        self.clock.run(self.root, "tasks", *filter(None, (name, item)), cpu=self.cpu)

    def work(self, way: str, *arguments: str) -> dict[str, Any]:
        """What a way of `benchmarks.gpu.work` measures here."""
        return measured(self.clock, self.root, way, *arguments, cpu=self.cpu)

    def trained(self, name: str, out: Path, **settings: Any) -> dict[str, Any]:
        """Run the stage `name` twice; what it was priced at, what it took, and whether `out` has the same bytes."""
        self._set(name, settings)
        priced = self.work("estimate", name)["estimated"]
        first = self._hashes(name, out)
        kept = json.loads((self.paths.data / "prices" / f"{name}.json").read_text())
        second = self._hashes(name, out)
        different = sorted(file for file in first.keys() | second.keys() if first.get(file) != second.get(file))
        return {
            "taken": kept["used"]["memory"],
            "estimated": priced,
            "items": kept["items"],
            "training_seconds": kept["used"]["seconds"],
            "same_bytes": not different,
            "different": different,
        }

    def tokens(self) -> int:
        """Tokens of the rows that are trained."""
        audit = json.loads(self.paths.audit.read_text())
        return int(audit["splits"]["train"]["trained"]["tokens"])

    def _set(self, name: str, settings: dict[str, Any]) -> None:
        section = {**self.settings[name], **settings}
        (self.root / PARAMS).write_text(json.dumps({**self.settings, name: section}))

    def _hashes(self, name: str, out: Path) -> dict[str, str]:
        """Train, as for the first time; the hash of each file that it leaves."""
        shutil.rmtree(out, ignore_errors=True)
        self.clock.run(self.root, "tasks", name, cpu=self.cpu)
        files = sorted(file for file in out.rglob("*") if file.is_file())
        return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def measured(clock: Clock, folder: Path, way: str, *arguments: str, cpu: bool) -> dict[str, Any]:
    """The last line of a way of `benchmarks.gpu.work`, run in `folder`."""
    return last_line(clock.run(folder, "benchmarks.gpu.work", way, *arguments, cpu=cpu))


def _environment(cpu: bool) -> dict[str, str]:
    """Ours, with this checkout's code, and without what would reach for a network."""
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TQDM_DISABLE": "1"}
    return {**os.environ, **offline, "PYTHONPATH": path, **({"CUDA_VISIBLE_DEVICES": ""} if cpu else {})}


def _reason(text: str, code: int) -> str:
    """The last line that was printed, for a person."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1][:LONGEST] if lines else "it printed nothing") + (f" (signal {-code})" if code < 0 else "")
