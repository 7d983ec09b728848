"""A run of the past as git and DVC keep it: its parameters, the hashes of its data, its scores, its predictions."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.bridge import LOCK, StageRecord, cached_file, find, overlap, parse
from flows.compare.scores import is_whole
from flows.history.committed import HERE, decision_at, file_at, object_at, settings_at
from flows.history.origins import changes, inputs, is_code
from flows.params.diff import parameters
from tasks.core.errors import MachineError, SettingsError
from tasks.core.numbers import counted, metric_name, shown
from tasks.core.paths import PATHS
from tasks.decide.words import TRAINED, WHOLE, candidate_name, promotion
from tasks.named.choices import hint
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

    def check_candidate(self, name: str) -> None:
        """Raise `SettingsError` where this run did not evaluate the candidate `name`, as far as it is known."""
        known = self._scores()
        if known and candidate_name(name, whole=is_whole(self._comparison)) not in known:
            raise SettingsError(f"--candidate: {self.name} did not evaluate '{name}'; {hint(name, known)}")

    def outs(self) -> dict[str, str]:
        """Hash of every output by its path."""
        return {path: out.md5 for stage in self.lock.values() for path, out in stage.outs.items()}

    def scores(self, other: "Snapshot") -> list[str]:
        """Scores that differ from this run to `other`, those of the candidate that decides first."""
        return ["scores", *_indented(_scores(self._scores(), other._scores(), self.candidate))]

    def differences(self, other: "Snapshot") -> list[str]:
        """What else differs from this run to `other`: parameters, inputs, outputs, verdict."""
        old, new = (settings_at(run.revision) for run in (self, other))
        lines = ["parameters", *_indented(parameters(old, new))]
        lines += ["", "data and models", *_indented(_data(self, other))]
        one, two = self._verdict(), other._verdict()
        verdicts = [f"both: {one}"] if one == two else [f"{self.name}: {one}", f"{other.name}: {two}"]
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


def _data(old: Snapshot, new: Snapshot) -> list[str]:
    """Inputs that changed, then outputs whose stages read nothing that did; what follows from these is only counted."""
    given, outs = dict(changes(inputs(old.lock), inputs(new.lock))), dict(changes(old.outs(), new.outs()))
    code = [path for path in given if is_code(path)]
    moved = [Path(path) for path in (*given, *outs)]
    follows = {
        path
        for lock in (old.lock, new.lock)
        for stage in lock.values()
        if any(overlap(Path(dep), place) for dep in stage.deps for place in moved)
        for path in stage.outs
        if path in outs
    }
    lines = [f"{path} {change}" for path, change in given.items() if path not in code]
    lines += [f"{counted(len(code), 'parts')} of temper's code changed"] if code else []
    lines += [f"{path} {change}" for path, change in outs.items() if path not in follows]
    return [*lines, f"and {counted(len(follows), 'outputs')} made of these"] if follows else lines


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scores(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]], first: str) -> list[str]:
    """Scores that differ, those of the candidate `first` before others; how many are the same."""
    lines, same = [], 0
    for name in sorted({**old, **new}, key=lambda name: name != first):
        one, two = old.get(name, {}), new.get(name, {})
        for metric in {**one, **two}:
            values = [shown(run[metric]["value"]) if metric in run else "none" for run in (one, two)]
            same += values[0] == values[1]
            lines += [f"{name} {metric_name(metric)} {values[0]} -> {values[1]}"] if values[0] != values[1] else []
    return [*lines, f"{counted(same, 'others')} {'is' if same == 1 else 'are'} the same"] if lines and same else lines


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines] or ["  the same"]
