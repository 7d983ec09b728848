"""Models registered by GTO: annotated git tags that `gto show` and DVC's own tools list. No service is needed."""

from pathlib import Path
from typing import Any

from flows.bridge import LOCK, find, model, parse
from flows.compare.production import GAIN, promotions
from flows.history.committed import decision_at, file_at
from flows.history.snapshot import Snapshot
from flows.results.decision import allowed
from flows.system.git import commit, git
from flows.system.process import ask
from tasks.core.errors import InputError, MachineError
from tasks.core.numbers import counted, metric_name, shown
from tasks.core.paths import PATHS
from tasks.statistics.effect import gained
from tasks.statistics.p_value import describe_p_value


def register(revision: str, stage: str, version: str | None = None, *, force: bool = False) -> list[str]:
    """Give the model at `revision` a version, and that version the stage `stage`; return what was done, a line each.

    A model that has the stage already stays as it is. One that had it before gets it again, under the version that it
    has, whatever its decision says. Raises `CheckFailed` where the decision there says no, unless `force`, and
    `InputError` for a second version of a commit.

    Example:

        register("HEAD", "production", "v1.0.0")
    """
    from gto import api
    from gto.exceptions import GTOException

    full = find(revision)
    name, _ = model()
    past = [one for one in promotions() if one.stage == stage]
    holder = next((one for one in past if one.current), None)
    known, here = _versions(name, full), full == commit("HEAD")
    pending = _uncommitted() if here else []
    if version and known and version not in known:
        raise InputError(f"the commit {full[:10]} is {known[0]} already, and has no other version; remove --version.")
    if holder and (holder.commit == full or (not known and same_model(holder.commit, full))):
        own = holder.version or holder.commit[:10]
        if version and version != own:
            raise InputError(f"{revision} has the model of {own}, which is in {stage} already; remove --version.")
        return [f"This model is already in {stage}, as {name} {own}; nothing was registered.", *pending]
    back = any(one.commit == full for one in past)
    decision = allowed(decision_at(full) or None, revision, force=force or back, here=here)
    message = _message(decision, "going back: " if back else "")
    try:
        if not known:
            api.register(".", name, full, version=version, message=message)
            known = _versions(name, full)
        newest = max(known, key=_order)
        api.assign(".", name, stage, version=newest, message=message, force=True)  # also where it had the stage before
    except (GTOException, ValueError) as error:
        raise MachineError(f"GTO rejects this: {' '.join(str(error).split())}") from None
    lines = [
        f"{name} {newest} is commit {full[:12]}, and in the stage {stage}{' again' if back else ''}"
        f"{f', in place of {holder.version or holder.commit[:10]}' if holder else ''}. Share it: git push --tags",
        *pending,
    ]
    if here and not git("status", "--porcelain", "--", str(LOCK)):
        keep_scores(decision)
        return [*lines, KEPT]
    if back:
        lines.append(_bring_scores(full, newest, decision))
    return lines


KEPT = (
    f"Later runs are compared with its scores, which are now in {PATHS.best}. Next: temper run (decide and report run "
    f"again), then commit {PATHS.best} and {LOCK} together, so that the commit reproduces."
)


def promoted_commit(stage: str) -> str:
    """The commit of the model that has the stage `stage` now; "" where none has."""
    return next((one.commit for one in promotions() if one.stage == stage and one.current), "")


def same_model(one: str, other: str) -> bool:
    """Whether two commits have the same model, byte for byte, as their dvc.lock have it."""
    _, path = model()
    hashes = [
        [stage.outs[path].md5 for stage in parse(file_at(commit, str(LOCK))).values() if path in stage.outs]
        for commit in (one, other)
    ]
    return bool(hashes[0]) and hashes[0] == hashes[1]


def register_in_subprocess(revision: str, stage: str) -> list[str]:
    """`register` in a process of its own, for flows; see `promoted_commit`."""
    return ask("flows.cli.main", "promote", revision, "--stage", stage).checked()


def _versions(name: str, full: str) -> list[str]:
    """Versions that the commit has already."""
    from gto import api
    from gto.exceptions import ArtifactNotFound

    try:
        return [
            str(one["version"]) for one in api.show(".", name, registered_only=True) if one["commit_hexsha"] == full
        ]
    except ArtifactNotFound:
        return []


def keep_scores(decision: dict[str, Any], evaluated: Path | None = None) -> None:
    """Write the scores of the promoted run, row by row, where `decide` looks for the best so far.

    `evaluated`: the folder with its predictions; by default that of this checkout.
    """
    folder = evaluated or PATHS.evaluation(decision["candidate"])
    for error in ask("tasks.decide.best", str(folder)).errors:
        raise type(error)(f"the scores of the run could not be stored: {error}")


def _bring_scores(full: str, version: str, decision: dict[str, Any]) -> str:
    """Put the scores of an earlier run where `decide` looks for the best so far, out of DVC's cache; say what became
    of it."""
    try:
        with Snapshot(full).evaluation(decision["candidate"], "scores.json", "predictions.parquet") as folder:
            keep_scores(decision, folder)
    except MachineError as error:
        return (
            f"Later runs are still compared with the scores in {PATHS.best}, not with those of {version}: {error} "
            f"`git log -- {PATHS.best}` lists older ones."
        )
    return KEPT


def _uncommitted() -> list[str]:
    """A line with the files of this project that differ from HEAD; none where nothing does."""
    names = [line.split(maxsplit=1)[1] for line in git("status", "--short", "--", ".").splitlines()]
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [f"Not committed, and so not part of this model's commit: {', '.join(names[:NAMED])}{more}."]


NAMED = 5
"""Files that are named; the others are counted."""


def _message(decision: dict[str, Any], remark: str) -> str:
    """What the tag says: scores and verdict, with `remark` before it, and that somebody overruled it."""
    interval = f"{shown(decision['low'])} to {shown(decision['high'])}"
    score = (
        f"{metric_name(decision['metric'])} {shown(decision['value'])} ({interval}, {counted(decision['n'], 'rows')})"
    )
    gained_over = gained(decision["gain"], str(decision.get("better")))
    gain = f"{GAIN}{gained_over}, {describe_p_value(decision['p'])}"
    verdict = "" if decision["promote"] else "against the rules: "
    return f"{decision['candidate']}: {score}{gain}\n\n{remark}{verdict}{decision['reason']}"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split(".") if part.isdigit())
