"""The commands `promote` and `compare`: register the model of a run, and set runs side by side."""

import argparse
import sys

from tasks.core.paths import PATHS


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


def _promote(options: argparse.Namespace) -> int:
    from flows.history.registry import register
    from flows.plan import preflight

    preflight.project()
    for line in register(options.revision, options.stage, options.version, force=options.against_the_rules):
        print(line)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from flows.history.snapshot import Snapshot
    from flows.plan import preflight
    from flows.system.process import ask

    preflight.project()
    if options.first is None:
        return _compare_all()
    first, second = Snapshot(options.first), Snapshot(options.second)
    for line in first.differences(second):
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

    from flows.history.runs import COLUMNS, runs, write_page

    lines = runs()
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for line in lines:
        table.add_row(*line.cells())
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 240).print(table)
    write_page(lines)
    print(f"\nPage:  {PATHS.runs}")
    return 0
