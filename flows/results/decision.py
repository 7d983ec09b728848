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
    """The decision and the rules that have a limit, a line each, gains together; None where there is no decision."""
    if (decided := decision()) is None:
        return None
    marks = {True: "✓", False: "✗"}
    gains = decided.get("gains", [])  # those of several ways of asking the base, said together
    judged = {name: rule for name, rule in decided["rules"].items() if not (gains and name.startswith("gain over "))}
    rules = [f"  {marks[gain['passed']]} {gain['says']}" for gain in gains]
    rules += [
        f"  - {name.replace('_', ' ')}: {rule['says']}"
        if rule["passed"] is None
        else f"  {marks[rule['passed']]} {rule['says']}"
        for name, rule in sorted(judged.items(), key=lambda item: item[1]["passed"] is None)
        if rule["passed"] is not None or rule["limit"] is not None
    ]
    return "\n".join([f"Decision: {promotion(decided)}", *rules])


def allowed(decided: dict[str, Any] | None, revision: str, *, force: bool) -> dict[str, Any]:
    """The decision `decided` at `revision` if it allows promotion, or is overruled; raises otherwise."""
    if decided is None:
        raise MachineError(
            f"{revision} has no decision ({PATHS.decided}); run `temper run` at this commit, and commit the result."
        )
    if not decided["promote"] and not force:
        raise CheckFailed(f"{revision} cannot be promoted: {decided['reason']}")
    return decided
