"""The command `temper`. Errors that users are meant to read are sentences, exit code 1."""

import argparse
import gc
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from flows.cli import config, migrate, operations, project, promote, serve
from flows.system import signals
from flows.system.guardian import guarded
from tasks.core.errors import MachineError, SettingsError, TemperError, advice
from tasks.core.files import write_text
from tasks.core.paths import PATHS
from tasks.core.reporting import report
from tasks.core.temporary import temporary_files

CARD = (
    "estimate memory for GPUs such as 24GB, 80GB x 8, or 80GB x 8 x 2 for two hosts with eight; without SIZE, for the "
    "GPUs of this machine"
)
RAM = "memory of each host, such as 1TB; also estimates offloading to it"


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; return the exit code."""
    options, more = _parser().parse_known_args(_negatives_joined(sys.argv[1:] if arguments is None else arguments))
    if more and options.command not in ("audit", "look"):
        _parser().error(f"unknown: {' '.join(more)}")
    options.more = more
    with signals.stopping(), temporary_files(PATHS):
        try:
            return int(options.act(options))
        except BaseException as error:
            if number := signals.received():  # whatever the end of threads and servers made of it
                return _stopped(options.command, number)
            if isinstance(error, TemperError):
                report(error, f"temper {options.command}")
            elif isinstance(error, OSError):
                report(MachineError(advice(error)), f"temper {options.command}")
            else:
                raise
    return 1


def _stopped(command: str, number: signal.Signals) -> int:
    with suppress(OSError):  # the terminal may be gone
        line = f"temper {command}: stopped by {number.name}; finished stages are kept, run again to continue."
        print(line, file=sys.stderr, flush=True)
    return 128 + number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="temper", description="From data to a fine-tuned model, with proof.")
    parser.add_argument("--version", action="version", version=f"temper {version('temper')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="bring every stage up to date, running only what changed")
    run.set_defaults(act=_run)
    run.add_argument(
        "stages", nargs="*", metavar="STAGE", help="run only this stage and those it depends on; default: every stage"
    )
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"change {PATHS.params} before")
    run.add_argument("--recipe", type=Path, metavar="FILE", help="start again from the defaults, with this YAML file over them")
    run.add_argument("--force", action="append", default=[], metavar="STAGE", help="run stages even if nothing changed")
    run.add_argument(
        "--jobs", type=_count, metavar="N", help="stages to run at once; default: as many as the machine allows"
    )
    run.add_argument("--no-wait", action="store_true", help="fail if another run is using this checkout")

    check = commands.add_parser("check", help="find everything that is wrong before a run, and estimate its cost")
    check.set_defaults(act=_check)
    check.add_argument("--time", action="store_true", help="train a few steps to estimate the total time")
    check.add_argument("--card", nargs="*", metavar="SIZE", help=CARD)
    check.add_argument("--ram", metavar="SIZE", help=RAM)
    plan = commands.add_parser("plan", help="show what would run, and why")
    plan.set_defaults(act=_plan)
    plan.add_argument("--json", action="store_true", help="for programs")
    audit = "find everything that would go wrong with data or a chat template with a tokenizer"
    commands.add_parser("audit", help=audit, add_help=False).set_defaults(act=_audit)
    look = "look at data in seconds: format, lengths, labels, and rows as they would be trained on"
    commands.add_parser("look", help=look, add_help=False).set_defaults(act=_look)
    push = commands.add_parser("push", help="send a finished folder to the hub, with the model card")
    push.set_defaults(act=_push)
    push.add_argument("repository", metavar="ORGANISATION/NAME")
    push.add_argument("--folder", type=Path, default=PATHS.merged, help=f"default: {PATHS.merged}")
    push.add_argument("--public", action="store_true", help="make a new repository public; default: private")
    push.add_argument("--dry-run", action="store_true", help="show what would be sent, but send nothing")
    ui = commands.add_parser("ui", help="start a Prefect server on this machine")
    ui.set_defaults(act=_ui)
    ui.add_argument("--port", type=int, default=4200, help="default: 4200")
    project.declare(commands)
    migrate.declare(commands)
    config.declare(commands)
    promote.declare(commands)
    serve.declare(commands)
    operations.declare(commands)
    return parser


def _negatives_joined(words: list[str]) -> list[str]:
    """`words` with what is no memory, such as -3GB, as the value of its option: the sentence about it is ours."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--card", "--ram") and re.match(r"-\d", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, at least 1")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from flows.server import connect
    from flows.system.checkout_lock import checkout_lock

    def ready() -> None:
        preflight.quick()
        preflight.check_stage_settings(Path(), options.stages, tell)  # others may be mended later

    gc.disable()  # collecting while Prefect and DVC are imported takes a fifth of a run in which nothing changed
    preflight.project()
    with checkout_lock(tell, wait=not options.no_wait):
        if options.set or options.recipe:
            from flows.params.config import keep
            from flows.params.model import change

            before = PATHS.params.read_text(encoding="utf-8") if PATHS.params.is_file() else ""
            lines = change(options.set, options.recipe)
            try:
                ready()
                preflight.inputs()
            except TemperError:
                if lines:
                    write_text(PATHS.params, before)
                    tell(f"{PATHS.params}: unchanged")
                raise
            if lines:
                keep(before)
            for line in lines:
                tell(f"{PATHS.params}: {line}")
        else:
            ready()
        page = connect.choose(tell)
        return _flow(options, page)


def _flow(options: argparse.Namespace, page: str) -> int:
    import httpx
    from rich.console import Console

    from flows.cli.progress import Terminal, tables
    from flows.finetune import finetune
    from flows.results.decision import sentence
    from flows.results.scores import legend, rows
    from flows.run.observer import observed_by
    from flows.server import connect
    from flows.worktree.zombies import reap

    gc.freeze()
    gc.enable()
    connect.wait()
    reap(tell)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    try:
        with Terminal(console) as terminal, observed_by(terminal):
            finetune(force=options.force, jobs=options.jobs, stages=options.stages)
    except httpx.HTTPError as error:
        if signals.received():
            raise
        print(
            f"temper run: the Prefect server no longer answers ({type(error).__name__}); "
            "finished stages are kept: run again.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # on a usual exit Prefect would try for minutes to send what it still has
    if options.stages:
        console.print("\nNext:    temper run   (all other stages)")
        return 0
    if PATHS.comparison.exists():
        for block in tables(rows(), console.width):
            console.print()
            console.print(block)
        for line in legend():
            console.print(line)
    if decided := sentence():
        console.print()
        console.print(decided)
    console.print()
    if PATHS.page.exists():
        console.print(f"Report:  {PATHS.page}")
    console.print("Next:    temper run --set train.learning_rate=1e-3   (only stages that depend on it run again)")
    console.print(f"         {f'open {page}' if page else 'temper ui   (and in another terminal: temper run)'}")
    return 0


def tell(line: str) -> None:
    """Say something beside a command's output."""
    print(line, file=sys.stderr, flush=True)


def _push(options: argparse.Namespace) -> int:
    from flows.history.hub import ask_hub, prepare_upload, push

    upload = prepare_upload(options.repository, options.folder)
    print(upload.summary())
    if not options.dry_run:
        for note in ask_hub(upload, private=not options.public):
            tell(note)
        print(push(upload, private=not options.public))
    return 0


def _check(options: argparse.Namespace) -> int:
    from flows.plan import preflight

    if options.ram and options.card is None:
        raise SettingsError("--ram needs --card; add it, as in --card 80GB x 8 --ram 1TB.")
    if options.card is not None:
        return _card(" ".join(options.card), options.ram or "")
    faults = preflight.faults()
    if not faults:
        from flows.plan.estimate import lines, probe_faults

        faults = probe_faults() if options.time else []
        report, shortfalls = lines()
        faults += shortfalls
        for line in report:
            print(line)
    for fault in faults:
        print(fault, file=sys.stderr)
    for note in preflight.notes():
        print(note)
    if not faults:
        print("Everything is ready. Next: temper run")
    return 1 if faults else 0


def _card(size: str, ram: str) -> int:
    """Before there are weights, data or a card: the rest of a check would ask for them."""
    from flows.plan.estimate import card

    report, faults = card(size, ram)
    print("\n".join(report))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _plan(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from flows.plan.plan import as_json, as_text, asked, plan

    preflight.project()
    preflight.quick()
    steps = asked(plan())
    print(json.dumps(as_json(steps), indent=2) if options.json else as_text(steps))
    return 0


def _audit(options: argparse.Namespace) -> int:
    return _alone("tasks.audit", options)


def _look(options: argparse.Namespace) -> int:
    return _alone("tasks.look", options)


def _alone(module: str, options: argparse.Namespace) -> int:
    """Everything else of the line is for a process of its own, which needs no project."""
    command = [sys.executable, "-P", "-m", module, *options.more]
    return subprocess.run(command, env={**os.environ, **guarded()}, check=False).returncode


def _ui(options: argparse.Namespace) -> int:
    from flows.server import connect

    connect.serve(options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
