"""A project whose base is a tiny model of a family; each stage in a process of its own, as `python -m tasks` runs it.

The processes are forked from one that has loaded the libraries, so that a stage takes its own second and not ten more.
"""

import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import TemperError, advice
from tasks.core.paths import Paths
from tasks.core.settings import PARAMS, load
from tasks.models import reload
from tasks.stages import names, stage
from tests.families import oracles
from tests.tasks import tiny

SETTINGS: dict[str, dict[str, Any]] = {
    "base": {"folder": "model"},
    "train": {"steps": 3, "batch_size": 12, "warmup_steps": 1, "logging_steps": 1, "eval_steps": 9,
              "checkpoint_steps": 9, "threads": 1, "learning_rate": 5e-3},
    "align": {"steps": 3, "batch_size": 4, "warmup_steps": 1, "logging_steps": 1, "eval_steps": 3,
              "checkpoint_steps": 9, "threads": 1},
    "merge": {"probes": 4},
    "quantize": {"probes": 4, "min_same_stops": 0.0, "max_divergence": 20.0},
    "evaluate": {"batch_size": 8, "max_new_tokens": 12},
}  # fmt: skip
"""What every stage is set to: three steps, so that weights move and no minute is lost."""

SECONDS = 120
"""After that a stage counts as one that hangs."""


@dataclass(frozen=True)
class Outcome:
    """What came of one step of the chain."""

    verdict: str
    """works, refused, broken (a traceback), hangs or died."""
    sentence: str
    """What it was refused with, or the last line of the traceback."""
    seconds: float
    facts: dict[str, Any]
    """What an oracle measured."""

    @property
    def works(self) -> bool:
        return self.verdict == "works"


class Chain:
    """One family's project in the folder `root`."""

    def __init__(self, root: Path, build: Callable[[Path], Any], pairs: bool = False) -> None:
        self.root, self.paths = root, Paths(root)
        build(root / "model")
        self._rows(pairs)

    def _rows(self, pairs: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        chats = tiny.conversations()
        self.paths.clean.mkdir(parents=True)
        for split, part in (("train", chats[:12]), ("validation", chats[12:16]), ("test", chats[24:])):
            table = tiny.rows(split, part)
            if pairs and split != "test":
                rejected = [[{"role": "assistant", "content": f"{chat[-1]['content']} now"}] for chat in part]
                table = table.set_column(
                    table.column_names.index("messages"), "messages", pa.array([None] * len(part), pa.null())
                )
                turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
                for name, values in (
                    ("prompt", [chat[:-1] for chat in part]),
                    ("chosen", [chat[-1:] for chat in part]),
                    ("rejected", rejected),
                ):
                    table = table.append_column(name, pa.array(values, turns))
            pq.write_table(table, self.paths.rows(split))

    def stage(self, name: str, item: str = "", **settings: Any) -> Outcome:
        """Run a stage; `settings` by dotted key of params.yaml, dots written as double underscores."""
        document = {section: dict(SETTINGS.get(section, {})) for section in names()}
        for key, value in settings.items():
            section, *inner, last = key.split("__")
            keys: dict[str, Any] = document[section]
            for part in inner:
                keys = keys.setdefault(part, {})
            keys[last] = value
        (self.root / PARAMS).write_text(json.dumps(document))

        def run() -> None:
            declared = stage(name)
            declared.run(load(declared.settings, Path(PARAMS), name), Paths(), *([item] if item else []))

        return self._forked(run)

    def oracle(self, name: str, *arguments: Any) -> Outcome:
        """Measure with `oracles.<name>`, in a process that has seen nothing of what the stage computed."""

        def run() -> dict[str, Any]:
            measured: dict[str, Any] = getattr(oracles, name)(Paths(), *arguments)
            return measured

        return self._forked(run)

    def remove(self, *folders: Path) -> None:
        """Go back to before what lies in `folders`, scratch included."""
        for folder in (*folders, self.paths.data / "scratch"):
            shutil.rmtree(folder, ignore_errors=True)

    def _forked(self, run: Callable[[], Any]) -> Outcome:
        begun, report, log = time.monotonic(), self.root / "outcome.json", self.root / "log.txt"
        report.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            _child(self.root, run, report, log)
        status = _wait(child, begun + SECONDS)
        seconds = round(time.monotonic() - begun, 1)
        if status is None or os.WIFSIGNALED(status):
            last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
            return Outcome("hangs" if status is None else "died", last, seconds, {})
        written = json.loads(report.read_text())
        return Outcome(written["verdict"], written["sentence"], seconds, written["facts"])


def _child(root: Path, run: Callable[[], Any], report: Path, log: Path) -> None:
    """The forked process: never returns."""
    os.setpgid(0, 0)
    os.chdir(root)
    reload.METHOD = "fork"  # this process has loaded the libraries, and no model yet
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    written: dict[str, Any] = {"verdict": "works", "sentence": "", "facts": {}}
    try:
        written["facts"] = run() or {}
    except TemperError as error:
        written |= {"verdict": "refused", "sentence": str(error)}
    except OSError as error:
        written |= {"verdict": "refused", "sentence": advice(error)}
    except BaseException as error:
        traceback.print_exc()
        written |= {"verdict": "broken", "sentence": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    report.write_text(json.dumps(written))
    os._exit(0)


def _wait(child: int, end: float) -> int | None:
    """The exit status of `child`, or None where it had to be killed."""
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
