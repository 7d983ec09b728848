"""The decision that the stage `decide` wrote, and what it means: the commands `promote` and `compare`."""

import argparse
import json
import sys
from typing import Any

from flows.results.scores import DECISION
from tasks.core.errors import CheckFailed, MachineError


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    promote = commands.add_parser("promote", help="register the model of a commit, if its decision allows")
    promote.add_argument("revision", nargs="?", default="HEAD", help="commit, branch, tag or experiment; default: HEAD")
    promote.add_argument("--stage", default="production", help="default: production")
    promote.add_argument("--version", metavar="vX.Y.Z", help="default: the next patch")
    promote.add_argument("--against-the-rules", action="store_true", help="register it whatever the decision says")
    promote.set_defaults(act=_promote)

    compare = commands.add_parser(
        "compare", help="all runs; or parameters, data, scores and rows of two of them, side by side"
    )
    compare.add_argument("first", nargs="?", help="commit, branch, tag or experiment; . is the checkout as it is")
    compare.add_argument("second", nargs="?", default=".", help="default: .")
    compare.add_argument("--candidate", help="whose rows are compared; default: the one that decides")
    compare.add_argument("--rows", type=int, default=10, metavar="N", help="rows shown that differ; default: 10")
    compare.set_defaults(act=_compare)


def decision() -> dict[str, Any] | None:
    """The decision of this checkout; None where there is none yet."""
    if not DECISION.is_file():
        return None
    found: dict[str, Any] = json.loads(DECISION.read_text(encoding="utf-8"))
    return found


def sentence() -> str | None:
    """The decision and every rule that was judged, a line each; None where there is none yet."""
    if (found := decision()) is None:
        return None
    marks = {True: "✓", False: "✗"}
    told = [
        f"  {marks[rule['passed']]} {rule['says']}" for rule in found["rules"].values() if rule["passed"] is not None
    ]
    return "\n".join(["Decision: promoted" if found["promote"] else "Decision: not promoted", *told])


def _promote(options: argparse.Namespace) -> int:
    from flows.history.registry import register
    from flows.plan import preflight

    preflight.project()
    for line in register(options.revision, options.stage, options.version, force=options.against_the_rules):
        print(line)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from flows.history.snapshot import Past
    from flows.plan import preflight
    from flows.system.process import ask

    preflight.project()
    if options.first is None:
        return _compare_all()
    first, second = Past(options.first), Past(options.second)
    for line in first.against(second):
        print(line)
    candidate = options.candidate or first.candidate
    print(f"\nrows of {candidate}", flush=True)
    with first.predictions(candidate) as one, second.predictions(candidate) as two:
        answer = ask("tasks.decide.differences", str(one), str(two), str(options.rows))
    for line in answer.checked():
        print(line)
    return 0


def _compare_all() -> int:
    from rich.console import Console
    from rich.table import Table

    from flows.history.runs import COLUMNS, PAGE, runs, write_page

    found = runs()
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for line in found:
        table.add_row(*line.cells())
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 240).print(table)
    write_page(found)
    print(f"\nPage:  {PAGE}")
    return 0


def allowed(found: dict[str, Any] | None, revision: str, *, force: bool) -> dict[str, Any]:
    """The decision `found` at `revision` if it allows promotion, or is overruled; raises otherwise."""
    if found is None:
        raise MachineError(f"{revision} has no {DECISION}; run temper run there, and commit.")
    if not found["promote"] and not force:
        raise CheckFailed(f"{revision} is not to be promoted: {found['reason']}")
    return found
