"""Models registered by GTO: annotated git tags that `gto show` and DVC's own tools list. No service is needed."""

from pathlib import Path
from typing import Any

from flows.bridge import LOCK
from flows.compare.production import GAIN, PRODUCTION, Promotion
from flows.history.committed import decision_at
from flows.history.origins import mismatches
from flows.history.snapshot import Snapshot
from flows.history.versions import Standing, check_version, standing, versions_of
from flows.results.decision import allowed
from flows.system.git import commit, git
from flows.system.process import ask
from tasks.core.errors import CheckFailed, MachineError
from tasks.core.numbers import counted, metric_name, shown
from tasks.core.paths import PATHS
from tasks.statistics.effect import gained
from tasks.statistics.p_value import describe_p_value


def register(revision: str, stage: str, version: str | None = None, *, force: bool = False) -> list[str]:
    """Give the model at `revision` a version, and that version the stage `stage`; return what was done, a line each.

    A model that has the stage already stays as it is. One that had it before gets it again, under the version that it
    has, whatever its decision says. Weights that have a version get no second one. data/best follows the model in
    production. Raises `CheckFailed` where the decision there says no, or nobody has an input that its dvc.lock names,
    unless `force`, and `InputError` for a second version of a commit or of its weights.

    Example:

        register("HEAD", "production", "v1.0.0")
    """
    there = standing(revision, stage)
    here = there.commit == commit("HEAD")
    check_version(version, there, revision, stage)
    pending = _uncommitted() if here else []
    if there.holds and there.holder:
        label = f"{there.name} {there.holder.label}"
        return [f"This model is already in {stage}, as {label}; nothing was registered.", *pending]
    decision = allowed(decision_at(there.commit) or None, revision, force=force or there.before, here=here)
    strays = mismatches(there.commit)
    if not (force or there.before) and any(stray.lost and stray.file for stray in strays):
        refused = [stray.sentence(revision) for stray in strays if stray.lost and stray.file]
        raise CheckFailed("\n".join([*refused, "To register it all the same: temper promote --against-the-rules"]))
    newest = _tagged(there, stage, version, _message(decision, "going back: " if there.before else ""))
    lines = [_registered(there, newest, stage, revision), *_scores_of_both(there.holder, newest, decision)]
    lines += [*(stray.sentence(revision) for stray in strays), *pending]
    if stage != PRODUCTION:
        return [*lines, f"Later runs are compared with the model in {PRODUCTION} alone: {PATHS.best} is as it was."]
    replaced = (PATHS.best / "scores.parquet").is_file()
    if here and not git("status", "--porcelain", "--", str(LOCK)):
        keep_scores(decision)
        return [*lines, _kept(replaced)]
    if there.before:
        lines.append(_bring_scores(there.commit, newest, decision, replaced))
    return lines


def _tagged(there: Standing, stage: str, version: str | None, message: str) -> str:
    """Give the model a version, where neither it nor its weights have one, and that version the stage; the version."""
    from gto import api
    from gto.exceptions import GTOException

    known = [there.twin.version] if there.twin else list(there.versions)
    try:
        if not known:
            api.register(".", there.name, there.commit, version=version, message=message)
            known = versions_of(there.name, there.commit)
        newest = max(known, key=_order)
        api.assign(".", there.name, stage, version=newest, message=message, force=True)  # also where it had it before
    except (GTOException, ValueError) as error:
        raise MachineError(f"GTO rejects this: {' '.join(str(error).split())}") from None
    return newest


def _registered(there: Standing, version: str, stage: str, revision: str) -> str:
    """What the model is called now, which stage it has, and who had it before."""
    has = f"has the weights of {revision}, and is" if there.twin else f"is commit {there.commit[:12]}, and"
    again = " again" if there.before else ""
    instead = f", in place of {there.holder.label}" if there.holder else ""
    return f"{there.name} {version} {has} in the stage {stage}{again}{instead}. Share it: git push --tags"


def _kept(replaced: bool) -> str:
    """Where the scores of the promoted run are, and what to do with them."""
    instead = ", in place of those that were there" if replaced else ""
    return (
        f"Later runs are compared with its scores, which are now in {PATHS.best}{instead}. Next: temper run (decide "
        f"and report run again), then commit {PATHS.best} and {LOCK} together, so that the commit reproduces."
    )


def _scores_of_both(holder: Promotion | None, version: str, decision: dict[str, Any]) -> list[str]:
    """A line with the scores of the model that had the stage and of the one that has it now."""
    if not holder:
        return []
    return [f"{holder.label}: {holder.scores.partition(GAIN)[0]}. {version}: {_score(decision)}."]


def register_in_subprocess(revision: str, stage: str) -> list[str]:
    """`register` in a process of its own, for flows."""
    return ask("flows.cli.main", "promote", revision, "--stage", stage).checked()


def keep_scores(decision: dict[str, Any], evaluated: Path | None = None) -> None:
    """Write the scores of the promoted run, row by row, where `decide` looks for the best so far.

    `evaluated`: the folder with its predictions; by default that of this checkout.
    """
    folder = evaluated or PATHS.evaluation(decision["candidate"])
    for error in ask("tasks.decide.best", str(folder)).errors:
        raise type(error)(f"the scores of the run could not be stored: {error}")


def _bring_scores(full: str, version: str, decision: dict[str, Any], replaced: bool) -> str:
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
    return _kept(replaced)


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
    gained_over = gained(decision["gain"], str(decision.get("better")))
    gain = f"{GAIN}{gained_over}, {describe_p_value(decision['p'])}"
    verdict = "" if decision["promote"] else "against the rules: "
    return f"{_score(decision)}{gain}\n\n{remark}{verdict}{decision['reason']}"


def _score(decision: dict[str, Any]) -> str:
    """The score that decided, with its interval."""
    interval = f"{shown(decision['low'])} to {shown(decision['high'])}, {counted(decision['n'], 'rows')}"
    return f"{decision['candidate']}: {metric_name(decision['metric'])} {shown(decision['value'])} ({interval})"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split(".") if part.isdigit())
