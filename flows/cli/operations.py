"""Commands for what runs elsewhere and what ran before: data add, deploy, worker, start, reproduce, sweep."""

import argparse
import json
import os
import sys
from pathlib import Path

from tasks.audit.arguments import whole
from tasks.core.errors import MachineError, SettingsError, StageFailed
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.named.choices import hint


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    events = commands.add_parser(
        "data", help="track data with DVC, commit the record to git, and notify a server that is running"
    )
    adding = events.add_subparsers(dest="what", required=True, metavar="add").add_parser("add")
    adding.add_argument("paths", nargs="+", type=Path, metavar="FILE")
    adding.add_argument("--quiet", action="store_true", help="notify no server")
    events.set_defaults(act=_data)

    commands.add_parser("deploy", help=f"send {PATHS.deployments} to the server").set_defaults(act=_deploy)

    worker = commands.add_parser("worker", help="execute deployed runs in this folder")
    worker.add_argument(
        "--limit", type=whole(1, "runs"), metavar="N", help="runs at once; default: the limit of the deployments"
    )
    worker.add_argument(
        "--queue", action="append", default=[], metavar="NAME", help="execute the stages of this work queue instead"
    )
    worker.set_defaults(act=_worker)

    start = commands.add_parser("start", help="queue a deployed run of finetune")
    start.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"override {PATHS.params} in this run"
    )
    start.add_argument("--revision", default="HEAD", help="commit, branch, tag, version or experiment; default: HEAD")
    start.set_defaults(act=_start)

    again = commands.add_parser("reproduce", help="rebuild a run from scratch and compare every output")
    again.add_argument(
        "run",
        metavar="RUN",
        help="an experiment (the name of its flow run), a version of the model, or any revision of git",
    )
    again.add_argument("--keep", action="store_true", help="keep the worktree for inspection")
    again.set_defaults(act=_reproduce)

    sweep = commands.add_parser("sweep", help="run finetune for each combination of values; needs workers")
    sweep.add_argument("values", nargs="+", metavar="KEY=VALUE,VALUE", help="or KEY=LOW..HIGH, to draw from the range")
    how = sweep.add_mutually_exclusive_group()
    how.add_argument("--random", type=whole(1, "combinations"), metavar="N", help="N random combinations; default: all")
    how.add_argument("--optuna", type=whole(1, "combinations"), metavar="N", help="N combinations proposed by Optuna")
    sweep.add_argument("--at-once", type=whole(1, "runs"), default=2, metavar="N", help="runs at a time; default: 2")
    sweep.add_argument("--metric", help=f"path of the score in {PATHS.comparison}")
    sweep.add_argument("--minimize", action="store_true", help="lower is better")
    sweep.add_argument("--to-the-end", action="store_true", help="do not stop trials early")
    sweep.add_argument("--seed", type=int, default=0, help="seed of random draws; default: 0")
    sweep.add_argument(
        "--revision", default="HEAD", help="commit, branch, tag or version that all trials start from; default: HEAD"
    )
    sweep.add_argument("--json", action="store_true", help="print trials and the comparison of bases as JSON")
    sweep.set_defaults(act=_sweep)


def _data(options: argparse.Namespace) -> int:
    from flows.deploy import events

    server = "" if options.quiet else _server()
    if not (revision := events.add(options.paths)):
        print("Nothing changed: DVC and git already have it.")
        return 0
    print(f"Tracked and committed as {revision[:12]}.")
    if server:
        events.tell(options.paths, revision)
        print(
            f"The Prefect server at {server} was notified ({events.EVENT}); deployments that wait for it start. "
            "--quiet notifies none."
        )
    return 0


def _server() -> str:
    """The page of the server to notify, or "": most people have none. One that PREFECT_API_URL names has to answer."""
    from flows.deploy import deployments
    from flows.server import connect

    named = "PREFECT_API_URL" in os.environ
    if not named and not connect.answers(connect.address()):
        return ""
    try:
        return deployments.server().removesuffix("/api")
    except MachineError as error:
        if named:
            raise
        print(f"The server is not notified: {error}", file=sys.stderr)
        return ""


def _deploy(options: argparse.Namespace) -> int:
    from flows.deploy import deployments
    from flows.params.model import check
    from flows.plan import preflight

    preflight.project()
    check()
    url = deployments.server()
    _reap()
    deployments.deploy()
    print(f"Deployed: open {url.removesuffix('/api')}/deployments")
    for schedule in deployments.schedules():
        print(f"Runs start by themselves: {schedule}; to change that, edit {PATHS.deployments} and deploy again.")
    print("Next:     temper worker, and in another terminal: temper start")
    return 0


def _worker(options: argparse.Namespace) -> int:
    from flows.deploy import deployments
    from flows.plan import preflight

    preflight.project()
    url = deployments.server(**deployments.PATIENT)
    _check_queues(options.queue)
    _reap()
    print(f"Working for {url.removesuffix('/api')} in {Path.cwd()}; press Ctrl-C to stop.", flush=True)
    deployments.work(options.limit, options.queue)
    return 0


def _check_queues(queues: list[str]) -> None:
    """Raise `SettingsError` for a queue that infra/stages.yaml does not have: no stage would ever come from it."""
    from flows.run.policies import operation  # with Prefect, which reads its environment when it is imported

    known = operation().queues
    for queue in queues:
        if queue not in known:
            advice = hint(queue, known) if known else "add it there, to `queues`."
            raise SettingsError(f"{PATHS.policies} has no queue {queue!r}; {advice}")


def _reap() -> None:
    """Tell the server, which is known by now, of runs of this project that died."""
    if not PATHS.state.is_dir():
        return  # `temper start` needs no project
    from flows.worktree.zombies import reap  # with Prefect, which reads its environment when it is imported

    reap(lambda line: print(line, file=sys.stderr, flush=True))


def _start(options: argparse.Namespace) -> int:
    from flows.deploy import deployments
    from flows.params.model import nested, rehearse

    page = deployments.server().removesuffix("/api")
    _reap()
    parameters = {"settings": nested(options.set), "revision": options.revision}
    try:
        name, run = deployments.start("finetune/temper", parameters)
    except deployments.Refused:
        if PATHS.params.is_file():
            rehearse(options.set)  # says the same in the words of params.yaml, if it applies here as well
        raise
    print(f"Queued as {name} ({run}): open {page}/runs/flow-run/{run}")
    for note in _start_notes(options.revision, deployments.at_work()):
        print(note, file=sys.stderr)
    print(f"Afterwards: temper compare HEAD {name}; temper reproduce {name}")
    return 0


def _start_notes(revision: str, at_work: bool) -> list[str]:
    """What may keep a queued run from its end, where this machine cannot know."""
    from flows.bridge import find

    notes = [] if at_work else ["No worker is at work, so the run waits. Start one in the project: temper worker"]
    if PATHS.state.is_dir():
        try:
            find(revision)
        except MachineError:
            notes.append(
                f"git has no revision '{revision}' here. The run fails unless its worker's checkout has it; to cancel "
                "it, open its page."
            )
    return notes


def _sweep(options: argparse.Namespace) -> int:
    from flows.deploy import deployments
    from flows.plan import preflight

    preflight.project()
    deployments.server()
    _reap()
    from rich.console import Console

    from flows.cli.progress import table
    from flows.compare.terminal import board_lines
    from flows.sweep import sweep

    more = {"metric": options.metric} if options.metric else {}
    rows, board = sweep(
        options.values,
        method="optuna" if options.optuna else "random" if options.random else "grid",
        count=options.optuna or options.random or 0,
        at_once=options.at_once,
        maximize=not options.minimize,
        stop_hopeless=not options.to_the_end,
        seed=options.seed,
        revision=options.revision,
        **more,
    )
    if options.json:
        print(json.dumps({"trials": rows, "leaderboard": board and board.as_json()}, ensure_ascii=False, indent=2))
    else:
        Console(highlight=False).print(table(rows))
    if board and not options.json:
        print("\nBases on the same held-out rows, best first")
        for line in board_lines(board):
            print(line)
        print()
    if best := next((row for row in rows if row["score"] is not None), None):
        if not options.json:
            print(f"The best: {_bring(best['trial'])}")
        return 0
    raise StageFailed("no trial produced a score; see each run's page for the reason.")


def _bring(experiment: str) -> str:
    """How to have an experiment in this folder, which the machine of its worker may have alone."""
    from flows.bridge import find
    from flows.run.policies import operation

    try:
        find(experiment)
        return f"dvc exp apply {experiment}"
    except MachineError:
        if share := operation().share:
            more = f" --remote {share.dvc}" if share.dvc else ""
            return f"dvc exp pull{more} {share.git} {experiment}; dvc exp apply {experiment}"
        return f"{experiment}, only on its worker's machine; see `share` in {PATHS.policies}."


def _reproduce(options: argparse.Namespace) -> int:
    from flows.history.reproduce import reproduce
    from flows.plan import preflight

    preflight.project()
    verdicts = reproduce(options.run, lambda line: print(line, file=sys.stderr, flush=True), keep=options.keep)
    width = max(len(verdict.stage) for verdict in verdicts)
    for verdict in verdicts:
        print(f"{verdict.stage.ljust(width)}  {'differs' if verdict.differences else 'identical'}")
        for line in verdict.differences:
            print(f"{' ' * width}    {line}")
    if different := [verdict.stage for verdict in verdicts if verdict.differences]:
        differ = "differs" if len(different) == 1 else "differ"
        raise StageFailed(f"{len(different)} of {counted(len(verdicts), 'stages')} {differ}: {', '.join(different)}.")
    print(f"All {len(verdicts)} stages of {options.run} are identical.")
    return 0
