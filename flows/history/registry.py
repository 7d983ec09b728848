"""Models registered by GTO: annotated git tags that `gto show` and DVC's own tools list. No service is needed."""

from pathlib import Path
from typing import Any

from flows.bridge import LOCK, VERSION, find, model
from flows.compare.production import GAIN, PRODUCTION, Promotion, promotions, same_model
from flows.history.committed import decision_at
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
    has, whatever its decision says. Weights that have a version get no second one. data/best follows the model in
    production. Raises `CheckFailed` where the decision there says no, unless `force`, and `InputError` for a second
    version of a commit or of its weights.

    Example:

        register("HEAD", "production", "v1.0.0")
    """
    from gto import api
    from gto.exceptions import GTOException

    if version and not VERSION.match(version):
        raise InputError(f"--version {version}: a version is vX.Y.Z, such as v1.2.3.")
    full = find(revision)
    name, _ = model()
    everything = promotions()
    past = [one for one in everything if one.stage == stage]
    holder = next((one for one in past if one.current), None)
    known, here = _versions(name, full), full == commit("HEAD")
    pending = _uncommitted() if here else []
    if version and known and version not in known:
        raise InputError(f"the commit {full[:10]} is {known[0]} already, and has no other version; remove --version.")
    if holder and (holder.commit == full or (not known and same_model(holder.commit, full))):
        if version and version != holder.label:
            raise InputError(
                f"{revision} has the model of {holder.label}, which is in {stage} already; remove --version."
            )
        return [f"This model is already in {stage}, as {name} {holder.label}; nothing was registered.", *pending]
    twin = next((one for one in everything if not known and one.version and same_model(one.commit, full)), None)
    if twin and version and version != twin.version:
        raise InputError(f"{revision} has the model of {twin.version}, which needs no other version; remove --version.")
    if version and not known and git("tag", "--list", f"{name}@{version}"):
        raise InputError(f"--version {version}: another commit has this version; name one that is free.")
    back = any(one.commit == full for one in past)
    decision = allowed(decision_at(full) or None, revision, force=force or back, here=here)
    message = _message(decision, "going back: " if back else "")
    try:
        if twin:
            known = [twin.version]
        elif not known:
            api.register(".", name, full, version=version, message=message)
            known = _versions(name, full)
        newest = max(known, key=_order)
        api.assign(".", name, stage, version=newest, message=message, force=True)  # also where it had the stage before
    except (GTOException, ValueError) as error:
        raise MachineError(f"GTO rejects this: {' '.join(str(error).split())}") from None
    has = f"has the weights of {revision}" if twin else f"is commit {full[:12]}"
    lines = [
        f"{name} {newest} {has}, and {'is ' if twin else ''}in the stage {stage}{' again' if back else ''}"
        f"{f', in place of {holder.label}' if holder else ''}. Share it: git push --tags",
        *_scores_of_both(holder, newest, decision),
        *pending,
    ]
    if stage != PRODUCTION:
        return [*lines, f"Later runs are compared with the model in {PRODUCTION} alone: {PATHS.best} is as it was."]
    replaced = (PATHS.best / "scores.parquet").is_file()
    if here and not git("status", "--porcelain", "--", str(LOCK)):
        keep_scores(decision)
        return [*lines, _kept(replaced)]
    if back:
        lines.append(_bring_scores(full, newest, decision, replaced))
    return lines


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
