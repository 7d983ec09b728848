"""`temper serve` and `temper chat`: the models of a run behind an API, on a page, or in the terminal."""

import argparse
import os
import sys

from tasks.audit.arguments import whole
from tasks.core.errors import SettingsError
from tasks.core.fixed import FIXED
from tasks.core.paths import PATHS


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    serve = commands.add_parser(
        "serve", help="serve models with OpenAI's API, after a check that they answer as evaluated"
    )
    serve.add_argument("names", nargs="*", metavar="CANDIDATE", help="merged (default), adapter, base, a scheme, ...")
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, only this machine")
    serve.add_argument("--port", type=int, default=8000, help="default: 8000; 0 for any free port")
    serve.add_argument(
        "--rows", type=whole(1, "rows"), default=8, metavar="N", help="held-out rows for the check; default: 8"
    )
    serve.add_argument("--system", metavar="TEXT", help="system prompt for requests without one")
    serve.add_argument("--anyway", action="store_true", help="serve even if answers differ")
    serve.add_argument("--check", metavar="URL", help="start no server; compare the one at URL with CANDIDATE")
    serve.add_argument("--model", metavar="NAME", help="with --check: the model's name on the server")
    serve.add_argument(
        "--key-variable", metavar="VARIABLE", help="with --check: the environment variable with the API key"
    )
    serve.set_defaults(act=_serve, reads=True)
    chat = commands.add_parser("chat", help="chat with models in the terminal or on a page")
    chat.add_argument(
        "names", nargs="*", metavar="CANDIDATE", help="default: merged; each model answers every question"
    )
    chat.add_argument("--system", metavar="TEXT", help="system prompt to start with")
    chat.add_argument(
        "--temperature", type=_temperature, default=0.0, metavar="T", help="default: 0, always the most likely token"
    )
    chat.add_argument("--page", action="store_true", help="chat on a page, as with `temper serve`")
    chat.set_defaults(act=_chat, reads=True)


def _serve(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from flows.plan.unpulled import check_candidates
    from tasks.serve.listening import listen

    preflight.project()
    if options.check:
        if len(options.names) != 1:
            raise SettingsError(f"--check {options.check}: name exactly one candidate, the one that is served there.")
        more = [word for name in ("model", "key_variable") for word in _option(name, getattr(options, name))]
        return _become("check", options.check, *options.names, "--rows", str(options.rows), *more)
    if options.model or options.key_variable:
        raise SettingsError(
            "--model and --key-variable need --check; a server started by temper names its models after the candidates."
        )
    names = options.names or ["merged"]
    check_candidates(names)
    _check_loadable(names)
    listen(options.host, options.port).close()
    _tell_loading(names)
    words = ["--host", options.host, "--port", str(options.port), "--rows", str(options.rows)]
    anyway = ["--anyway"] if options.anyway else []
    return _become("serve", *options.names, *words, *anyway, *_option("system", options.system))


def _chat(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from flows.plan.unpulled import check_candidates

    preflight.project()
    system = _option("system", options.system)
    names = options.names or ["merged", *(["base"] if options.page else [])]
    check_candidates(names)
    _check_loadable(names)
    _tell_loading(names)
    if options.page:
        return _become("serve", *names, "--port", "0", *system)
    return _become("chat", *options.names, "--temperature", str(options.temperature), *system)


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError("must be a number from 0 to 2")
    return value


def _option(name: str, value: str | None) -> list[str]:
    return [] if value is None else [f"--{name.replace('_', '-')}={value}"]


def _check_loadable(names: list[str]) -> None:
    """Raise `TemperError` for a model that is not there, before libraries take their seconds."""
    from tasks.core.settings import load
    from tasks.evaluate.settings import Settings
    from tasks.serve.models import models

    models(names, load(Settings, PATHS.params, "evaluate"), PATHS)


def _tell_loading(names: list[str]) -> None:
    """Before seconds of silence; on standard error, since of a pipe the answers alone go to standard output."""
    print(f"Loading {', '.join(names)}, which takes some seconds.", file=sys.stderr, flush=True)


def _become(*words: str) -> int:
    """Take the place of this process: signals and the terminal are the other's. Does not return."""
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-P", "-m", "tasks.serve", *words], {**os.environ, **FIXED})
