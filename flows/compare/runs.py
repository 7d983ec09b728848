"""All runs that git keeps: commits of this branch, and experiments, in which dvc.lock changed."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.bridge import LOCK, names, overlap, scan, scan_hashes
from flows.compare import kept
from flows.compare.scores import Scores, from_comparison, is_whole
from flows.history.committed import as_decision, as_object, as_settings, files_at
from flows.history.origins import changes, is_code
from flows.params.diff import parameters
from flows.results import durations
from flows.system.git import git
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS
from tasks.decide.words import permission

MOST = 2_000
"""Runs that are read, the newest first."""

FIELDS = (
    "%H", "%P", "%s", "%an", "%aI",
    *(f"%(trailers:key={name},valueonly,unfold,separator=%x20)" for name in ("Page", durations.TRAILER)),
)  # fmt: skip
"""Of a commit: its hash, those before it, subject, author, date, and what a deployed run wrote below its message."""

TRAINING = ("train", "align")
"""Stages whose seconds are the time of training."""

Settings = dict[str, Any]
"""Value by dotted key of params.yaml."""

Hashes = dict[str, str]
"""Hash by path of what the stages of a run read or left."""


@dataclass
class Run:
    """One run, as its commit has it."""

    name: str
    """Name of the experiment, or the subject of the commit."""
    commit: str
    who: str = ""
    when: str = ""
    """ISO 8601."""
    address: str = ""
    """Of its flow run in the Prefect UI; "" where nobody noted it."""
    decision: dict[str, Any] = field(default_factory=dict)
    """decision.json; empty where the stage `decide` did not run."""
    settings: Settings = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    """Inputs and parameters that differ from the commit before, or why they cannot be read."""
    scores: Scores = field(default_factory=dict)
    whole: bool = False
    """Whether every weight was trained."""
    outs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Stage -> hash by path of what it left."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage -> seconds that it took, wherever it ran; stages of which nobody noted it are left out."""

    @property
    def test_rows(self) -> str:
        """Hash of the rows that it was scored on; "" where none is known."""
        return self.outs.get("clean", {}).get(str(PATHS.rows("test")), "") if self.decision else ""

    @property
    def training(self) -> float | None:
        """Seconds of training; None where they are not known."""
        known = [self.seconds[stage] for stage in TRAINING if stage in self.seconds]
        return sum(known) if known else None

    @property
    def cost(self) -> float | None:
        """Price of the training, at machine.price an hour; None where either is not known."""
        price, seconds = self.settings.get("machine.price"), self.training
        if isinstance(price, bool) or not isinstance(price, int | float) or not math.isfinite(price) or seconds is None:
            return None
        return seconds / 3600 * price

    @property
    def verdict(self) -> str:
        """Whether the rules allow a promotion, in a word, and which of them refuse it."""
        if not self.decision:
            return "none"
        rules = self.decision.get("rules")
        against = [
            str(name)
            for name, rule in (rules.items() if isinstance(rules, Mapping) else ())
            if isinstance(rule, Mapping) and rule.get("passed") is False
        ]
        word = permission(self.decision)
        return word if self.decision["promote"] else ": ".join(filter(None, (word, ", ".join(against))))


def test_sets(all_runs: Iterable[Run]) -> dict[str, str]:
    """A letter by the hash of test rows, where runs were scored on several sets of them; empty for one set."""
    hashes = dict.fromkeys(run.test_rows for run in all_runs if run.test_rows)
    return {rows: _letters(number) for number, rows in enumerate(hashes)} if len(hashes) > 1 else {}


def _letters(number: int) -> str:
    """A to Z, then AA, AB, ..."""
    return (_letters(number // 26 - 1) if number > 25 else "") + chr(ord("A") + number % 26)


def runs(most: int = MOST) -> list[Run]:
    """The newest runs first. Raises `MachineError` where there is none."""
    experiments = names()
    log = git("log", f"-{most}", "--date-order", f"--format={'%x00'.join(FIELDS)}", "HEAD", "--stdin", "--", str(LOCK),
              text="".join(f"{commit}\n" for commit in experiments))  # fmt: skip
    heads = (
        [line.split("\0") for line in log.split("\n")] if log else []
    )  # a subject may hold what `splitlines` ends at
    if not heads:
        first = "" if LOCK.exists() else "run `temper run`, then "
        raise MachineError(
            f"no run is committed here yet: {first}run `git add --all` and `git commit --message Run`; "
            f"each commit with another {LOCK} is a run."
        )
    known = kept.load()
    facts = {commit: known[commit] for commit, *_ in heads if commit in known}
    if new := [(commit, before) for commit, before, *_ in heads if commit not in facts]:
        facts |= _read(new)
    if new or len(facts) < len(known):
        kept.save(facts)
    result = [
        Run(experiments.get(commit, subject), commit, who, when, address, seconds=durations.in_trailer(took),
            **facts[commit])
        for commit, _, subject, who, when, address, took in heads
    ]  # fmt: skip
    share_seconds(result, durations.kept())
    return result


def _read(commits: list[tuple[str, str]]) -> dict[str, kept.Facts]:
    """What each of `commits` holds, each given with those before it."""
    parents = {commit: before.split()[0] if before else "" for commit, before in commits}
    settings = _settings({*parents, *filter(None, parents.values())})
    paths = [str(path) for path in (PATHS.decided, PATHS.comparison, LOCK)]
    earlier = _hashes({*filter(None, parents.values())})
    return {
        commit: _facts(commit, settings[commit], settings.get(parent, {}), texts, earlier.get(parent, {}))
        for (commit, parent), texts in zip(parents.items(), files_at(list(parents), paths), strict=True)
    }


def _hashes(commits: set[str]) -> dict[str, Hashes]:
    """Hashes in the dvc.lock of each commit; none of one that cannot be read."""
    ordered = sorted(commits)
    texts = (text for (text,) in files_at(ordered, [str(LOCK)]))
    return {
        commit: {} if isinstance(text, MachineError) else scan_hashes(text)
        for commit, text in zip(ordered, texts, strict=True)
    }


def _facts(
    commit: str,
    new: dict[str, Any] | MachineError,
    old: dict[str, Any] | MachineError,
    texts: list[str | MachineError],
    earlier: Hashes,
) -> kept.Facts:
    """`new`, `old`: params.yaml there and in the commit before; `texts`: decision, comparison and dvc.lock; `earlier`:
    hashes in the dvc.lock of the commit before."""
    facts: kept.Facts = {"decision": {}, "settings": {}, "changed": [], "scores": {}, "outs": {}, "whole": False}
    try:
        decision, comparison, lock = _readable(texts)
        facts["outs"] = scan(lock)
        facts["decision"] = as_decision(decision, commit)
        compared = as_object(comparison, commit, str(PATHS.comparison))
        facts["scores"], facts["whole"] = from_comparison(compared), is_whole(compared)
        facts["settings"] = flat(_known(new))
        if before := _known(old):
            facts["changed"] = [*_moved(earlier, scan_hashes(lock), facts["outs"]), *parameters(before, _known(new))]
    except MachineError as error:  # of a commit that nobody can mend, among others that can be shown
        facts["changed"] = [str(error)]
    return facts


def _moved(old: Hashes, new: Hashes, outs: dict[str, dict[str, str]]) -> Iterator[str]:
    """A line for each input that both runs read, and that changed: neither code nor what a stage made."""
    outputs = [Path(path) for stage in outs.values() for path in stage]
    for path, change in changes(old, new):
        if change == "changed" and not is_code(path) and not any(overlap(Path(path), out) for out in outputs):
            yield f"{path} {change}"


def share_seconds(all_runs: list[Run], known: dict[durations.Key, float]) -> None:
    """Give each run the seconds of those stages whose outputs another run made: a model costs what it cost once."""
    known = known | {
        durations.key(stage, run.outs.get(stage, {})): run.seconds[stage] for run in all_runs for stage in run.seconds
    }
    for run in all_runs:
        for stage, outs in run.outs.items():
            if outs and stage not in run.seconds and (key := durations.key(stage, outs)) in known:
                run.seconds[stage] = known[key]


def flat(values: Mapping[Any, Any], prefix: str = "") -> Settings:
    """Sections in sections as dotted keys; lists, and sections without keys, stay values."""
    settings: Settings = {}
    for name, value in values.items():
        settings |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return settings


def _settings(commits: set[str]) -> dict[str, dict[str, Any] | MachineError]:
    """params.yaml of each commit, or why it cannot be read; equal texts are parsed once."""
    parsed: dict[str, dict[str, Any] | MachineError] = {}
    result: dict[str, dict[str, Any] | MachineError] = {}
    ordered = sorted(commits)
    for commit, (text,) in zip(ordered, files_at(ordered, [PATHS.params.name]), strict=True):
        if isinstance(text, MachineError):
            result[commit] = text
        elif text in parsed:
            result[commit] = parsed[text]
        else:
            try:
                result[commit] = parsed[text] = as_settings(text, commit)
            except MachineError as error:
                result[commit] = error
    return result


def _known(settings: dict[str, Any] | MachineError) -> dict[str, Any]:
    if isinstance(settings, MachineError):
        raise settings
    return settings


def _readable(texts: list[str | MachineError]) -> Iterator[str]:
    for text in texts:
        if isinstance(text, MachineError):
            raise text
        yield text
