"""The commands `promote`, `compare` and `history`: register a model, set runs side by side, say what replaced what."""

import argparse
import gc
import json
from pathlib import Path

from tasks.core.errors import SettingsError, TemperError
from tasks.core.paths import PATHS
from tasks.core.temporary import writable


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    promote = commands.add_parser(
        "promote", help="register the model of a commit, if its decision allows, or go back to an earlier one"
    )
    promote.add_argument(
        "revision", nargs="?", default="HEAD", help="commit, branch, tag, version or experiment; default: HEAD"
    )
    promote.add_argument(
        "--stage", default="production", help="default: production, which later runs are compared with"
    )
    promote.add_argument("--version", metavar="vX.Y.Z", help="default: the next patch")
    promote.add_argument("--against-the-rules", action="store_true", help="register it even if the decision says no")
    promote.set_defaults(act=_promote)

    compare = commands.add_parser(
        "compare", help="compare all runs, or parameters, data, scores and rows of two of them"
    )
    compare.add_argument("first", nargs="?", help="commit, branch, tag, version or experiment; . is this checkout")
    compare.add_argument("second", nargs="?", default=".", help="default: .")
    compare.add_argument("--candidate", help="candidate whose rows are compared; default: the one that decides")
    compare.add_argument("--rows", type=int, default=10, metavar="N", help="differing rows to show; default: 10")
    compare.add_argument("--json", action="store_true", help="print all runs as JSON")
    compare.set_defaults(act=_compare, reads=True)

    history = commands.add_parser("history", help="show which model is in production, what it replaced, when and why")
    history.add_argument("--json", action="store_true", help="for programs")
    history.set_defaults(act=_history, reads=True)


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
        return _compare_all(options.json)
    if options.json:
        raise SettingsError("--json compares all runs; remove the names.")
    first, second = Snapshot(options.first), Snapshot(options.second)
    candidate = options.candidate or first.candidate
    for run in (first, second) if options.candidate else ():
        run.check_candidate(candidate)
    print(f"{first.name} -> {second.name}\n", *first.scores(second), "", sep="\n", flush=True)
    try:
        with first.predictions(candidate) as one, second.predictions(candidate) as two:
            rows = ask("tasks.decide.differences", str(one), str(two), str(options.rows)).checked()
    except TemperError:
        print(*first.differences(second), sep="\n")
        raise
    summary, examples = rows[: rows.index("")], rows[rows.index("") + 1 :]
    print(f"rows of {candidate}", *summary, "", *first.differences(second), sep="\n")
    if examples:
        print("\nanswers that differ", *examples, sep="\n")
    return 0


def _compare_all(as_json: bool) -> int:
    from flows.compare import page, terminal
    from flows.compare.leaderboard import leaderboards
    from flows.compare.runs import runs

    gc.disable()  # a command of seconds, whose thousands of runs all live until its end
    all_runs = runs()
    if as_json:
        print(json.dumps(page.page_data(all_runs, rows=False), ensure_ascii=False, indent=2))
        return 0
    for line in terminal.run_lines(all_runs):
        print(line)
    for board in leaderboards(all_runs):
        print("\nBases on the same held-out rows, best first")
        for line in terminal.board_lines(board):
            print(line)
    if not writable(PATHS):
        print(f"\nPage:  none, because you cannot write in {Path.cwd()}")
        return 0
    page.write_page(all_runs)
    print(f"\nPage:  {PATHS.runs}")
    return 0


def _history(options: argparse.Namespace) -> int:
    from flows.compare.production import promotions
    from flows.compare.runs import runs
    from flows.compare.terminal import history_lines
    from flows.history.committed import readable_decisions
    from flows.plan import preflight

    preflight.project()
    history = promotions()
    if options.json:
        print(json.dumps([one.as_json() for one in history], ensure_ascii=False, indent=2))
    elif not history:
        print(f"No model has been promoted yet. {_first_promotion()}")
    else:
        names = {run.commit: run.name for run in runs()}
        for line in history_lines(history, names, readable_decisions({one.commit for one in history})):
            print(line)
    return 0


def _first_promotion() -> str:
    """What is possible where nothing has been promoted, by the decision of the last commit."""
    from flows.history.committed import decision_at

    if not (decision := decision_at("HEAD")):
        return "The last commit has no decision; first: temper run, and commit what it made."
    if decision["promote"]:
        return "The rules allow it for the last commit; next: temper promote."
    return (
        f"The rules refuse it for the last commit: {decision['reason']} Change what they name and run again, or "
        "overrule them: temper promote --against-the-rules."
    )
