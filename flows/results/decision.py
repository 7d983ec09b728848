"""What the stage `decide` wrote: read, put into words, and asked whether it allows a promotion."""

from typing import Any

from tasks.core.errors import CheckFailed, MachineError
from tasks.core.json_files import read_object
from tasks.core.numbers import enumerated
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
    rules = [f"  {line}" for line in rule_lines(decided["rules"])]
    more = [f"  {more}."] if (more := decided.get("rows_needed")) else []
    return "\n".join([f"Decision: {promotion(decided)}", *rules, *more])


def rule_lines(rules: dict[str, Any]) -> list[str]:
    """Every rule that has a limit, a line each, with a mark before what it says; equal gains are one line."""
    marks = {True: "✓", False: "✗"}
    lines: dict[tuple[str, str], list[str]] = {}
    for name, rule in sorted(rules.items(), key=lambda item: item[1]["passed"] is None):
        if rule["passed"] is None and rule["limit"] is None:
            continue
        mark = f"- {name.replace('_', ' ')}:" if rule["passed"] is None else marks[rule["passed"]]
        base = name.removeprefix("gain over ")
        before, _, after = f"{mark} {rule['says']}".partition(f" against {base}: ")
        lines.setdefault((before, after), []).append(base)
    return [
        f"{before} against {enumerated(bases)}: {after}" if after else before
        for (before, after), bases in lines.items()
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
        raise CheckFailed(f"{revision} cannot be promoted: {decided['reason']}")
    return decided
