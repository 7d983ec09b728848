"""What the stage `decide` wrote: read, put into words, and asked whether it allows a promotion."""

from collections.abc import Mapping
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
    return "\n".join([f"Decision: {promotion(decided)}", *(f"  {line}" for line in rule_lines(decided))])


def rule_lines(decided: Mapping[str, Any]) -> list[str]:
    """Every rule that has a limit, a line each, with a mark before what it says; gains that are the same are one line.
    How the run compares with the promoted one is said without a limit too.

    A decision of an older version has a line for each of them.
    """
    marks = {True: "✓", False: "✗"}
    gains = decided.get("gains", [])
    judged = {name: rule for name, rule in decided["rules"].items() if not (gains and name.startswith("gain over "))}
    return [f"{marks[gain['passed']]} {gain['says']}" for gain in gains] + [
        f"- {name.replace('_', ' ')}: {rule['says']}"
        if rule["passed"] is None
        else f"{marks[rule['passed']]} {rule['says']}"
        for name, rule in sorted(judged.items(), key=lambda item: item[1]["passed"] is None)
        if rule["passed"] is not None
        or rule["limit"] is not None
        or (name == "best_loss" and rule["value"] is not None)
    ]


def allowed(decided: dict[str, Any] | None, revision: str, *, force: bool, here: bool = False) -> dict[str, Any]:
    """The decision `decided` at `revision` if it allows promotion, or is overruled; raises otherwise.

    `here`: whether `revision` is checked out, so that this folder may hold a newer decision.
    """
    if here and not (decided and (decided["promote"] or force)) and decision() not in (None, decided):
        raise MachineError(
            "the decision of this checkout is not committed; commit it, then promote it: git add --all && git commit "
            "&& temper promote"
        )
    if decided is None:
        raise MachineError(
            f"{revision} has no decision ({PATHS.decided}); run `temper run` at this commit, and commit the result."
        )
    if not decided["promote"] and not force:
        raise CheckFailed("\n".join([f"{revision} cannot be promoted:", *_refusal(decided, revision, here=here)]))
    return decided


def _refusal(decided: Mapping[str, Any], revision: str, *, here: bool) -> list[str]:
    """The rules that fail and what was compared without a limit, a line each; where to read more; how to overrule."""
    lines = [line for line in rule_lines(decided) if not line.startswith("✓")] if decided.get("rules") else []
    more = str(PATHS.page) if here and PATHS.page.exists() else f"temper compare {revision}"
    return [
        *(f"  {line}" for line in lines or [decided["reason"]]),
        f"Read more: {more}. `--against-the-rules` registers it nevertheless.",
    ]
