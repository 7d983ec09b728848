"""`temper serve`: load, listen, compare with the evaluation, and only then say that the server is ready."""

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tasks.core.errors import CheckFailed, InputError, SettingsError
from tasks.core.paths import PATHS, Paths
from tasks.core.settings import PARAMS, load
from tasks.evaluate.questions import rows
from tasks.evaluate.settings import Settings
from tasks.serve import gate
from tasks.serve.alike import Question
from tasks.serve.app import Service, Voice, build
from tasks.serve.choice import engines
from tasks.serve.collected import Collector
from tasks.serve.fields import FieldReader
from tasks.serve.guard import LOOPBACK, Guard
from tasks.serve.listening import listen
from tasks.serve.models import DEFAULT, Model, models, tokenizer_of
from tasks.serve.prompts import Prompter
from tasks.teacher.settings import Teacher

ANYWHERE = {"0.0.0.0", "::"}

GRACE = 5
"""Seconds that answers under way have when the server ends."""


@dataclass(frozen=True)
class Options:
    """What `temper serve` is told."""

    names: list[str]
    host: str = "127.0.0.1"
    port: int = 8000
    rows: int = gate.ROWS
    """Held-out rows that are asked of each model before it is ready."""
    anyway: bool = False
    """Whether it says ready in spite of what differs."""
    system: str | None = None
    """System prompt of requests without one; None: the one that all held-out rows have, if they do."""


@dataclass
class Loaded:
    """Models in memory."""

    service: Service
    models: list[Model]
    tokenizers: dict[str, Any]
    settings: Settings


@dataclass
class Server:
    """Loaded models behind an open socket."""

    loaded: Loaded
    socket: socket.socket
    options: Options
    paths: Paths
    asked: dict[str, list[Question]]
    """Model -> held-out rows to ask it; without models that were not evaluated, which are served with `anyway`."""

    @property
    def url(self) -> str:
        """The address that clients of OpenAI take as `base_url`."""
        host, port = self.socket.getsockname()[:2]
        shown = "127.0.0.1" if host in ANYWHERE else f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/v1"

    @property
    def page(self) -> str:
        """The address of the page, with the word that lets it save."""
        return f"{self.url.removesuffix('v1')}#{self.loaded.service.word}"


def load_server(options: Options, paths: Paths = PATHS) -> Server:
    """Load what is named. Raises before anything is loaded for what is missing, not evaluated, or a port in use."""
    settings = load(Settings, paths.root / PARAMS, "evaluate")
    chosen = models(options.names, settings, paths)
    asked = _asked(chosen, options, settings, paths)
    listening = listen(options.host, options.port)
    if options.host not in LOOPBACK:
        print(
            f"Anyone who can reach {options.host} can use these models: there is no password and no encryption. Put a "
            "proxy with both in front of it.",
            flush=True,
        )
    try:
        return Server(load_models(chosen, settings, options.system, paths), listening, options, paths, asked)
    except BaseException:
        listening.close()
        raise


def _asked(chosen: list[Model], options: Options, settings: Settings, paths: Paths) -> dict[str, list[Question]]:
    """Rows to ask each model. Raises `InputError` where there are none, unless it is served anyway."""
    asked = {}
    for model in chosen:
        try:
            asked[model.name] = gate.questions(_evaluated(model, paths), options.rows, settings, paths)
        except InputError as error:
            if not options.anyway:
                raise InputError(f"{error} To serve it unchecked, add --anyway.") from None
            print(f"{error} {model.name} is served unchecked.", flush=True)
    return asked


def load_models(chosen: list[Model], settings: Settings, system: str | None, paths: Paths = PATHS) -> Loaded:
    """Load models, and say what runs them. `system` is that of requests without one; None: `shared_system`."""
    tokenizers = {model.name: tokenizer_of(model) for model in chosen}
    by_name = engines(chosen, settings, tokenizers)
    for engine in {id(engine): engine for engine in by_name.values()}.values():
        names = [name for name, one in by_name.items() if one is engine]
        print(f"{', '.join(names)}: {engine.about}", flush=True)
    system = shared_system(settings, paths) if system is None else system
    if system:
        print(
            f"Requests without a system prompt get: {system[:100]!r} (--system TEXT for another, --system '' for none)"
        )
    voices = {}
    for model in chosen:
        tokenizer, engine = tokenizers[model.name], by_name[model.name]
        prompter = Prompter(tokenizer, engine.context(model.name), model.system, system)
        voices[model.name] = Voice(engine, prompter, FieldReader(tokenizer, prompter.renderer, prompter.reader))
    return Loaded(Service(voices, Collector(paths, chosen, system), system), chosen, tokenizers, settings)


def shared_system(settings: Settings, paths: Paths) -> str:
    """The system prompt of all held-out rows, if all have the same one: without it the model was never asked."""
    first = [row["messages"][0] for row in held_out_rows(paths)]
    prompts = Counter(turn["content"] if turn["role"] == "system" else "" for turn in first)
    return next(iter(prompts)) if len(prompts) == 1 else ""


def held_out_rows(paths: Paths) -> list[dict[str, Any]]:
    """The rows of the test split; none where they are not here or cannot be asked."""
    try:
        return rows(paths.rows("test"))[0]
    except (InputError, OSError):
        return []


async def serve(server: Server, ready: asyncio.Event | None = None) -> None:
    """Answer until a signal; set `ready` once the answers are the evaluated ones. Raises `CheckFailed` if not."""
    import uvicorn

    names = _names(server.options.host)
    app: Any = Guard(build(server.loaded.service), names=names)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, lifespan="off")
    http = uvicorn.Server(config)
    running = asyncio.create_task(http.serve(sockets=[server.socket]))
    try:
        checking = asyncio.create_task(asyncio.to_thread(held, server))
        await asyncio.wait({running, checking}, return_when=asyncio.FIRST_COMPLETED)
        if checking.done():
            checking.result()
            server.loaded.service.ready = True
            if ready:
                ready.set()
            await asyncio.shield(running)
    finally:
        http.should_exit = True
        await asyncio.wait({running})
        for voice in server.loaded.service.voices.values():
            await voice.engine.close()


def held(server: Server) -> None:
    """Ask each model some held-out rows over HTTP, and say what differs. Raises `CheckFailed`."""
    paths, failed = server.paths, []
    for model in server.loaded.models:
        if not (asked := server.asked.get(model.name)):
            continue
        against = _evaluated(model, paths)
        teacher = Teacher(kind="openai", base_url=server.url, model=model.name, request_timeout=3600)
        result = gate.verdict(against, asked, teacher, server.loaded.tokenizers[model.name], paths)
        print("\n".join(verdict_lines(model.name, against, result)), flush=True)
        failed += [model.name] if result.differences else []
    if failed and not server.options.anyway:
        raise CheckFailed(
            f"{', '.join(failed)}: does not answer as in the evaluation, so the server stops; use --anyway to serve it "
            "regardless."
        )


def verdict_lines(name: str, against: str, result: gate.Verdict) -> list[str]:
    """The outcome for one model in lines."""
    same = result.asked - len(result.differences)
    beside = "" if name == against else f" of {against}"
    lines = [f"{name}: {same} of {result.asked} held-out rows answered as in the evaluation{beside}"]
    return [*lines, *(line for one in result.differences for line in one.lines()), *result.notes]


def _evaluated(model: Model, paths: Paths) -> str:
    """The candidate that was evaluated with these weights."""
    if model.name != "ollama" or model.gguf is None:
        return model.name
    same = f"gguf-{model.gguf.stem.removeprefix('model-')}"
    return same if paths.evaluation(same).is_dir() else DEFAULT


def _names(host: str) -> set[str]:
    """Names under which a server at `host` is reached, beside those of loopback."""
    if host in LOOPBACK:
        return set()
    import psutil

    addresses = {address.address.partition("%")[0] for card in psutil.net_if_addrs().values() for address in card}
    return {host, socket.gethostname(), socket.getfqdn(), *addresses}


def check(url: str, candidate: str, model: str | None, key_variable: str | None, count: int, paths: Paths) -> int:
    """Compare a running server with the evaluation of `candidate`; print the outcome; 1 where something differs."""
    from tasks.serve.remote import served_model, teacher

    settings = load(Settings, paths.root / PARAMS, "evaluate")
    name, own = served_model(url, candidate, model, key_variable)
    if candidate == "base_few_shot":
        raise SettingsError(
            "base_few_shot is the base with examples in its prompt, which a server cannot have; check base."
        )
    system = settings.system if candidate == "base_system" and not own else ""
    asked = gate.questions(candidate, count, settings, paths, system)
    hosted = settings.hosted.get(candidate)
    tokenizer = None
    if not (hosted and hosted.server):
        from tasks.evaluate import candidates

        elsewhere = candidate in {*settings.models, *settings.hosted}
        folder = candidates.folders(candidate, settings, paths)[-1] if elsewhere else paths.tokenizer
        tokenizer = candidates.chat_tokenizer(folder)
    result = gate.verdict(candidate, asked, teacher(url, name, key_variable), tokenizer, paths)
    print("\n".join(verdict_lines(f"{name} at {url}", candidate, result)), flush=True)
    return 1 if result.differences else 0
