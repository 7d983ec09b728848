"""The command `temper`. Errors that users are meant to read are sentences, exit code 1."""

import argparse
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from flows.cli import check, migrate, operations, project, promote, run, serve
from flows.system import signals
from flows.system.guardian import guarded
from tasks.core.errors import MachineError, TemperError, advice
from tasks.core.output import CLOSED, piped, unread
from tasks.core.paths import PATHS
from tasks.core.reporting import report
from tasks.core.temporary import temporary_files


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; return the exit code."""
    return piped(lambda: _carry_out(sys.argv[1:] if arguments is None else arguments))


def _carry_out(arguments: list[str]) -> int:
    options, more = _parser().parse_known_args(check.negatives_joined(arguments))
    if more and options.command not in ("audit", "look"):
        _parser().error(f"{options.command} takes no argument {' '.join(more)}; see temper {options.command} --help")
    options.more = more
    with signals.stopping():
        try:
            with temporary_files(PATHS, reads=options.reads):
                return int(options.act(options))
        except BaseException as error:
            if number := signals.received():  # whatever the end of threads and servers made of it
                return _stopped(options.command, number)
            if isinstance(error, BrokenPipeError) and unread():
                raise
            if isinstance(error, TemperError):
                report(error, f"temper {options.command}")
            elif isinstance(error, OSError):
                report(MachineError(advice(error)), f"temper {options.command}")
            else:
                raise
    return 1


def _stopped(command: str, number: signal.Signals) -> int:
    if unread():  # that is why
        return CLOSED
    with suppress(OSError):  # the terminal may be gone
        by = "Ctrl-C" if number == signal.SIGINT else number.name
        kept = "; finished stages are kept. Go on with: temper run" if command == "run" else "."
        print(f"temper {command}: stopped by {by}{kept}", file=sys.stderr, flush=True)
        if command == "run":
            _tell_unfinished()
    return 128 + number


def _tell_unfinished() -> None:
    """Say where a training that was stopped goes on, and where the last one's model is."""
    from flows.plan.unfinished import unfinished

    with suppress(TemperError):  # DVC may have been stopped while it held its lock
        for line in unfinished():
            print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="temper", description="From data to a fine-tuned model, with proof.")
    parser.add_argument("--version", action="version", version=f"temper {version('temper')}")
    parser.set_defaults(reads=False)  # whether a command works in a project that can only be read
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run.declare(commands)
    check.declare(commands)
    audit = "find everything that would go wrong with data or a chat template with a tokenizer"
    commands.add_parser("audit", help=audit, add_help=False).set_defaults(act=_audit, reads=True)
    look = "look at data in seconds: format, lengths, labels, and rows as they would be trained on"
    commands.add_parser("look", help=look, add_help=False).set_defaults(act=_look, reads=True)
    push = commands.add_parser("push", help="send a finished folder to the hub, with the model card")
    push.set_defaults(act=_push, reads=True)
    push.add_argument("repository", metavar="ORGANISATION/NAME")
    push.add_argument("--folder", type=Path, default=PATHS.merged, help=f"default: {PATHS.merged}")
    push.add_argument("--public", action="store_true", help="make a new repository public; default: private")
    push.add_argument("--dry-run", action="store_true", help="show what would be sent, but send nothing")
    ui = commands.add_parser("ui", help="start a Prefect server on this machine")
    ui.set_defaults(act=_ui)
    ui.add_argument("--port", type=int, default=4200, help="default: 4200")
    project.declare(commands)
    migrate.declare(commands)
    promote.declare(commands)
    serve.declare(commands)
    operations.declare(commands)
    return parser


def _push(options: argparse.Namespace) -> int:
    from flows.history.hub import ask_hub, prepare_upload, push

    upload = prepare_upload(options.repository, options.folder)
    print(upload.summary())
    if not options.dry_run:
        for note in ask_hub(upload, private=not options.public):
            run.tell(note)
        print(push(upload, private=not options.public))
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
