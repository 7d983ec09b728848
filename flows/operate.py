"""Commands for what runs elsewhere and what ran before: data add, deploy, worker, start, reproduce, runs."""

import argparse
import sys
from pathlib import Path

from tasks.contract.errors import StageFailed


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    data = commands.add_parser("data", help="track data with DVC, and tell the server")
    adding = data.add_subparsers(dest="what", required=True, metavar="add").add_parser("add")
    adding.add_argument("paths", nargs="+", type=Path, metavar="FILE")
    adding.add_argument("--quiet", action="store_true", help="tell no server")
    data.set_defaults(act=_data)

    commands.add_parser("deploy", help="send infra/prefect.yaml to the server").set_defaults(act=_deploy)

    worker = commands.add_parser("worker", help="carry out deployed runs in this folder")
    worker.add_argument("--limit", type=int, metavar="N", help="runs at once; default: as the deployments say")
    worker.set_defaults(act=_worker)

    start = commands.add_parser("start", help="queue a deployed run of finetune")
    start.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over params.yaml, in this run")
    start.add_argument("--revision", default="HEAD", help="commit, branch, tag or experiment; default: HEAD")
    start.set_defaults(act=_start)

    again = commands.add_parser("reproduce", help="rebuild a run from nothing and compare every output")
    again.add_argument("run", metavar="RUN", help="an experiment (the name of its flow run), or any revision of git")
    again.add_argument("--keep", action="store_true", help="leave the worktree to look at")
    again.set_defaults(act=_reproduce)


def _data(options: argparse.Namespace) -> int:
    from flows import data, deployments

    if not options.quiet:
        deployments.server()
    if not (revision := data.add(options.paths)):
        print("Nothing changed: DVC and git have it already.")
        return 0
    print(f"Tracked and committed as {revision[:12]}.")
    if not options.quiet:
        data.tell(options.paths, revision)
        print(f"The server knows ({data.EVENT}); deployments that wait for it start.")
    return 0


def _deploy(options: argparse.Namespace) -> int:
    from flows import deployments, preflight

    preflight.project()
    url = deployments.server()
    deployments.deploy()
    print(f"Deployed: open {url.removesuffix('/api')}/deployments   Next: temper worker")
    return 0


def _worker(options: argparse.Namespace) -> int:
    from flows import deployments, preflight
    from flows.workspace import recover

    preflight.project()
    url = deployments.server()
    recover(lambda line: print(line, file=sys.stderr, flush=True))
    print(f"Working for {url.removesuffix('/api')} in {Path.cwd()}; Ctrl-C ends it.", flush=True)
    deployments.work(options.limit)
    return 0


def _start(options: argparse.Namespace) -> int:
    from flows import deployments
    from flows.settings import nested

    deployments.server()
    parameters = {"settings": nested(options.set), "revision": options.revision}
    name, run = deployments.start("finetune/temper", parameters)
    print(f"Queued as {name} ({run}). Afterwards: dvc exp show; temper reproduce {name}")
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    from flows import preflight
    from flows.reproduce import reproduce

    preflight.project()
    verdicts = reproduce(options.run, lambda line: print(line, file=sys.stderr, flush=True), keep=options.keep)
    width = max(len(verdict.stage) for verdict in verdicts)
    for verdict in verdicts:
        print(f"{verdict.stage.ljust(width)}  {'differs' if verdict.differences else 'identical'}")
        for line in verdict.differences:
            print(f"{' ' * width}    {line}")
    if different := [verdict.stage for verdict in verdicts if verdict.differences]:
        raise StageFailed(f"{len(different)} of {len(verdicts)} stages differ: {', '.join(different)}.")
    print(f"All {len(verdicts)} stages of {options.run} are identical.")
    return 0
