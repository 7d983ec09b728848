"""Models registered by GTO: annotated git tags that `gto show` and DVC's own tools list. No service is needed."""

import re
from typing import Any

from flows.bridge import LOCK, find
from flows.history.committed import decision_at
from flows.results.decision import allowed
from flows.system.git import commit, git
from flows.system.process import ask
from tasks.core.errors import MachineError
from tasks.core.numbers import counted, metric_name, shown
from tasks.core.paths import PATHS
from tasks.core.settings import read
from tasks.statistics.effect import gained
from tasks.statistics.p_value import describe_p_value


def register(revision: str, stage: str, version: str | None = None, *, force: bool = False) -> list[str]:
    """Give the model at `revision` a version, and that version the stage `stage`; return what was done, a line each.

    Raises `CheckFailed` where the decision there says no, unless `force`.

    Example:

        register("HEAD", "production", "v1.0.0")
    """
    from gto import api
    from gto.exceptions import GTOException

    full = find(revision)
    decision = allowed(decision_at(full) or None, revision, force=force)
    name, _ = model()
    message = _message(decision, overruled=force and not decision["promote"])
    try:
        if not (known := _versions(name, full)):
            api.register(".", name, full, version=version, message=message)
            known = _versions(name, full)
        newest = max(known, key=_order)
        api.assign(".", name, stage, version=newest, message=message)
    except (GTOException, ValueError) as error:
        raise MachineError(f"GTO rejects this: {' '.join(str(error).split())}") from None
    lines = [f"{name} {newest} is commit {full[:12]}, and in the stage {stage}. Share it: git push --tags"]
    if full == commit("HEAD") and not git("status", "--porcelain", "--", str(LOCK)):
        keep_scores(decision)
        lines.append(
            f"Later runs are compared with its scores, which are now in {PATHS.best}. Next: temper run (decide and "
            f"report run again), then commit {PATHS.best} and {LOCK} together, so that the commit reproduces."
        )
    return lines


def promoted_commit(stage: str) -> str:
    """The commit of the model that has the stage `stage` now; "" where none has.

    Read from the tags (`model#production#3`, with `!` before the last number where the stage was taken back): importing
    GTO sets up logging anew, which within a flow run stops Prefect's.
    """
    name, _ = model()
    tags = git("tag", "--list", f"{name}#{stage}*").splitlines()
    assignments = [
        (int(match[2]), match[1], tag)
        for tag in tags
        if (match := re.fullmatch(rf"{re.escape(name)}#{re.escape(stage)}(!?)#(\d+)", tag))
    ]
    _, revoked, newest = max(assignments, default=(0, "!", ""))
    return "" if revoked else git("rev-parse", f"{newest}^{{commit}}")


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


def model() -> tuple[str, str]:
    """Name and path of the artifact of dvc.yaml that is a model."""
    artifacts = read(PATHS.pipeline, "safe").get("artifacts")
    models = [
        (name, artifact)
        for name, artifact in (artifacts.items() if isinstance(artifacts, dict) else ())
        if isinstance(artifact, dict) and artifact.get("type") == "model" and artifact.get("path")
    ]
    if not models:
        raise MachineError(f"{PATHS.pipeline} declares no artifact of type model; add one with the model's path.")
    name, artifact = models[0]
    return str(name), str(artifact["path"])


def keep_scores(decision: dict[str, Any]) -> None:
    """Write the scores of the promoted run, row by row, where `decide` looks for the best so far."""
    for error in ask("tasks.decide.best", decision["candidate"]).errors:
        raise type(error)(f"the scores of the run could not be stored: {error}")


def _message(decision: dict[str, Any], *, overruled: bool) -> str:
    """What the tag says: scores and verdict, and that somebody overruled it."""
    interval = f"{shown(decision['low'])} to {shown(decision['high'])}"
    score = (
        f"{metric_name(decision['metric'])} {shown(decision['value'])} ({interval}, {counted(decision['n'], 'rows')})"
    )
    gained_over = gained(decision["gain"], str(decision.get("better")))
    gain = f"gain over base {gained_over}, {describe_p_value(decision['p'])}"
    verdict = "against the rules: " if overruled else ""
    return f"{decision['candidate']}: {score}; {gain}\n\n{verdict}{decision['reason']}"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split(".") if part.isdigit())
