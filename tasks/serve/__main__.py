"""The commands; see the package's docstring. `temper serve` and `temper chat` become this process."""

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def parser() -> "argparse.ArgumentParser":
    """The arguments of all three."""
    import argparse

    from tasks.serve.gate import ROWS

    main = argparse.ArgumentParser(prog="temper", description="Serve models of a run, and chat with them.")
    commands = main.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve")
    chat = commands.add_parser("chat")
    for command in (serve, chat):
        command.add_argument("names", nargs="*", metavar="CANDIDATE")
        command.add_argument("--system")
    serve.add_argument("--anyway", action="store_true")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--rows", type=int, default=ROWS)
    chat.add_argument("--temperature", type=float, default=0.0)
    check = commands.add_parser("check")
    check.add_argument("url")
    check.add_argument("candidate")
    check.add_argument("--model")
    check.add_argument("--key-variable")
    check.add_argument("--rows", type=int, default=ROWS)
    return main


def main(arguments: list[str]) -> int:
    """Carry out one command; return the exit code."""
    from tasks.core.reporting import guarded

    options = parser().parse_args(arguments)
    code = 0

    def work() -> None:
        nonlocal code
        signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on `guarded` takes it
        code = _act(options)

    names = {"check": "temper serve --check"}
    return guarded("serve", work, command=names.get(options.command, f"temper {options.command}")) or code


def _act(options: "argparse.Namespace") -> int:
    from tasks.core.paths import Paths

    if options.command == "check":
        from tasks.serve.run import check

        return check(options.url, options.candidate, options.model, options.key_variable, options.rows, Paths())
    if options.command == "chat":
        from tasks.serve.terminal import chat

        return chat(options.names, options.system, options.temperature)
    import asyncio
    from contextlib import suppress

    from tasks.serve.run import Options, load_server, serve

    wanted = Options(options.names, options.host, options.port, options.rows, options.anyway, options.system)
    server = load_server(wanted)

    async def both() -> None:
        ready = asyncio.Event()

        async def tell() -> None:
            await ready.wait()
            names = ", ".join(server.loaded.service.voices)
            print(f"Ready: {server.url}   (base_url of OpenAI's clients; model: {names})")
            print(f"Page:  {server.page}   (press Ctrl-C to stop)", flush=True)

        telling = asyncio.create_task(tell())
        try:
            await serve(server, ready)
        finally:
            telling.cancel()

    with suppress(KeyboardInterrupt):
        asyncio.run(both())
    server.loaded.service.collector.tell()
    print("temper serve: ended.", flush=True)
    return 0


def _start() -> None:
    """What comes before the arguments are read. Imports take most of it, and Ctrl-C in one of them is a traceback: it
    ends the process as it would one without Python, so that nothing is imported before."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import os

    from tasks.core.fixed import FIXED
    from tasks.core.library_warnings import tell_warnings

    if any(os.environ.get(name) != value for name, value in FIXED.items()):  # as the evaluation ran
        os.environ.update(FIXED)
        os.execv(sys.executable, [sys.executable, "-P", "-m", "tasks.serve", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    import tasks.core.spared  # noqa: F401  # before any heavy import

    tell_warnings(sys.stderr)


if __name__ == "__main__":
    _start()
    sys.exit(main(sys.argv[1:]))
