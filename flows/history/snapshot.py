"""A run of the past as git and DVC keep it: its parameters, the hashes of its data, its scores, its predictions."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.bridge import LOCK, StageRecord, cached_file, find, parse
from flows.params.diff import parameters
from flows.system.git import git
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.named.names import inside

HERE = "."


def file_at(revision: str, path: str) -> str:
    """A file of this folder at `revision`, or as it is now for `.`; "" where there is none."""
    if revision == HERE:
        return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    try:
        return git("show", f"{revision}:./{path}")
    except MachineError:
        return ""


class Snapshot:
    """One run, by the name of a revision."""

    def __init__(self, name: str) -> None:
        """`name`: a commit, a branch, a tag, an experiment of DVC, or `.`; raises `MachineError` for none of these."""
        self.name = name
        self.revision = HERE if name == HERE else find(name)
        if not self.lock:
            raise MachineError(f"{name} has no {LOCK}: nothing ran there.")

    @cached_property
    def lock(self) -> dict[str, StageRecord]:
        """Stages by name, as dvc.lock has them."""
        return parse(file_at(self.revision, str(LOCK)))

    @cached_property
    def decision(self) -> dict[str, Any]:
        """What the stage `decide` wrote; empty where it did not run."""
        written: dict[str, Any] = json.loads(file_at(self.revision, str(PATHS.decided)) or "{}")
        return written

    @property
    def candidate(self) -> str:
        """The candidate that decides."""
        return str(self.decision.get("candidate", "merged"))

    def outs(self) -> dict[str, str]:
        """Hash of every output by its path."""
        return {path: out.md5 for stage in self.lock.values() for path, out in stage.outs.items()}

    def differences(self, other: "Snapshot") -> list[str]:
        """What differs from this run to `other`: parameters, outputs, scores, verdict."""
        old, new = (YAML(typ="safe").load(file_at(run.revision, str(PATHS.params))) or {} for run in (self, other))
        lines = [f"{self.name} -> {other.name}", "", "parameters", *_indented(parameters(old, new))]
        one, two = self.outs(), other.outs()
        paths = [path for path in sorted({*one, *two}) if one.get(path) != two.get(path)]
        words = [
            f"{path} {'changed' if path in one and path in two else 'new' if path in two else 'gone'}" for path in paths
        ]
        lines += ["", "data and models", *_indented(words)]
        lines += ["", "scores", *_indented(_scores(self._scores(), other._scores()))]
        verdicts = [f"{run.name}: {run._verdict()}" for run in (self, other)]
        return [*lines, "", "decision", *_indented(verdicts)]

    @contextmanager
    def predictions(self, candidate: str) -> Iterator[Path]:
        """A file with the predictions of `candidate`; raises `MachineError` where they are not in DVC's cache."""
        path, file = str(inside(PATHS.evaluation(""), candidate, "--candidate")), "predictions.parquet"
        if self.revision == HERE:
            yield Path(path) / file
            return
        md5 = self.outs().get(path)
        if md5 is None:
            raise MachineError(f"{self.name} has no {path}; it was not evaluated there.")
        if (cached := cached_file(md5, file, path)) is None:
            raise MachineError(f"{path} of {self.name} is not in DVC's cache; fetch it: dvc fetch --all-commits {path}")
        with tempfile.TemporaryDirectory(prefix="temper-") as folder:
            link = Path(folder) / file
            link.symlink_to(cached.resolve())
            yield link

    def _scores(self) -> dict[str, dict[str, Any]]:
        scores: dict[str, Any] = json.loads(file_at(self.revision, str(PATHS.comparison)) or "{}").get("candidates", {})
        return scores

    def _verdict(self) -> str:
        if not self.decision:
            return "none"
        return f"{'promoted' if self.decision['promote'] else 'not promoted'}: {self.decision['reason']}"


def _scores(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for name in [*old, *(name for name in new if name not in old)]:
        one, two = old.get(name, {}), new.get(name, {})
        for metric in [key for key in {**one, **two} if key != "slices"]:
            values = [f"{run[metric]['value']:.4f}" if metric in run else "none" for run in (one, two)]
            lines.append(f"{name} {metric} {values[0]} -> {values[1]}")
    return lines


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines] or ["  the same"]
