"""What the stage `decide` wrote: read, put into words, and asked whether it allows a promotion."""

from typing import Any

from tasks.core.errors import CheckFailed, MachineError
from tasks.core.json_files import read_object
from tasks.core.paths import PATHS
from tasks.decide.words import promotion


def decision() -> dict[str, Any] | None:
    """The decision of this checkout; None where there is none yet."""
    if not PATHS.decided.is_file():
        return None
    return read_object(PATHS.decided, MachineError, "restore it, or run `dvc repro decide`")


def sentence() -> str | None:
    """The decision and every rule that has a limit, a line each; None where there is no decision yet."""
    if (decided := decision()) is None:
        return None
    marks = {True: "✓", False: "✗"}
    rules = [
        f"  - {name.replace('_', ' ')}: {rule['says']}"
        if rule["passed"] is None
        else f"  {marks[rule['passed']]} {rule['says']}"
        for name, rule in sorted(decided["rules"].items(), key=lambda item: item[1]["passed"] is None)
        if rule["passed"] is not None or rule["limit"] is not None
    ]
    more = [f"  {more}."] if (more := decided.get("rows_needed")) else []
    return "\n".join([f"Decision: {promotion(decided)}", *rules, *more])


def allowed(decided: dict[str, Any] | None, revision: str, *, force: bool) -> dict[str, Any]:
    """The decision `decided` at `revision` if it allows promotion, or is overruled; raises otherwise."""
    if decided is None:
        raise MachineError(
            f"{revision} has no decision ({PATHS.decided}); run `temper run` at this commit, and commit the result."
        )
    if not decided["promote"] and not force:
        raise CheckFailed(f"{revision} cannot be promoted: {decided['reason']}")
    return decided
