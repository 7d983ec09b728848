"""A run of the past as git and DVC keep it: its parameters, the hashes of its data, its scores, its predictions."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.bridge import LOCK, StageRecord, cached_file, find, parse
from flows.compare.scores import is_whole
from flows.history.committed import HERE, decision_at, file_at, object_at, settings_at
from flows.params.diff import parameters
from tasks.core.errors import MachineError
from tasks.core.numbers import metric_name, shown
from tasks.core.paths import PATHS
from tasks.decide.words import TRAINED, WHOLE, candidate_name, promotion
from tasks.named.names import inside


class Snapshot:
    """One run, by the name of a revision."""

    def __init__(self, name: str) -> None:
        """`name`: a commit, a branch, a tag, an experiment of DVC, or `.`; raises `MachineError` for none of these."""
        self.name = name
        self.revision = HERE if name == HERE else find(name)
        if not self.lock:
            raise MachineError(f"{name} has no {LOCK}: no run was committed there.")

    @cached_property
    def lock(self) -> dict[str, StageRecord]:
        """Stages by name, as dvc.lock has them."""
        return parse(file_at(self.revision, str(LOCK)))

    @cached_property
    def decision(self) -> dict[str, Any]:
        """What the stage `decide` wrote; empty where it did not run."""
        return decision_at(self.revision)

    @property
    def candidate(self) -> str:
        """The candidate that decides."""
        return str(self.decision.get("candidate", "merged"))

    def outs(self) -> dict[str, str]:
        """Hash of every output by its path."""
        return {path: out.md5 for stage in self.lock.values() for path, out in stage.outs.items()}

    def differences(self, other: "Snapshot") -> list[str]:
        """What differs from this run to `other`: parameters, outputs, scores, verdict."""
        old, new = (settings_at(run.revision) for run in (self, other))
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
        if candidate == WHOLE and is_whole(self._comparison):
            candidate = TRAINED
        file = "predictions.parquet"
        if self.revision == HERE:
            yield inside(PATHS.evaluation(""), candidate, "--candidate") / file
            return
        with self.evaluation(candidate, file) as folder:
            yield folder / file

    @contextmanager
    def evaluation(self, candidate: str, *files: str) -> Iterator[Path]:
        """A folder named as `candidate` with `files` of its evaluation; raises `MachineError` where DVC's cache lacks
        one."""
        path = str(inside(PATHS.evaluation(""), candidate, "--candidate"))
        md5 = self.outs().get(path)
        if md5 is None:
            raise MachineError(f"{self.name} has no {path}; it was not evaluated there.")
        with tempfile.TemporaryDirectory(prefix="temper-") as place:
            folder = Path(place) / candidate
            folder.mkdir()
            for file in files:
                if (cached := cached_file(md5, file, path)) is None:
                    raise MachineError(
                        f"{path} of {self.name} is not in DVC's cache; fetch it: dvc fetch --all-commits {path}"
                    )
                (folder / file).symlink_to(cached.resolve())
            yield folder

    @cached_property
    def _comparison(self) -> dict[str, Any]:
        return object_at(self.revision, str(PATHS.comparison))

    def _scores(self) -> dict[str, dict[str, Any]]:
        candidates, whole = self._comparison.get("candidates"), is_whole(self._comparison)
        return {
            candidate_name(name, whole=whole): {
                metric: each for metric, each in of.items() if isinstance(each, dict) and _number(each.get("value"))
            }
            for name, of in (candidates.items() if isinstance(candidates, dict) else ())
            if isinstance(of, dict)
        }

    def _verdict(self) -> str:
        if not self.decision:
            return "none"
        return f"{promotion(self.decision)}: {self.decision['reason']}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scores(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for name in [*old, *(name for name in new if name not in old)]:
        one, two = old.get(name, {}), new.get(name, {})
        for metric in {**one, **two}:
            values = [shown(run[metric]["value"]) if metric in run else "none" for run in (one, two)]
            lines.append(f"{name} {metric_name(metric)} {values[0]} -> {values[1]}")
    return lines


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines] or ["  the same"]
