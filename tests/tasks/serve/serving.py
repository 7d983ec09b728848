"""A tiny project whose candidates are evaluated, and its server in this process."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tasks.core.files import write_text
from tasks.core.paths import Paths
from tasks.serve.app import Service, Voice, build
from tasks.serve.collected import Collector
from tasks.serve.engine import Ask, Piece
from tasks.serve.fields import FieldReader
from tasks.serve.listening import listen
from tasks.serve.models import Model
from tasks.serve.prompts import Prompter
from tasks.serve.run import Options, Server, load_server, serve
from tests.tasks import tiny

SETTINGS = {"max_new_tokens": 12, "batch_size": 3}


def project(root: Path, *candidates: str) -> Paths:
    """Base, adapter, merged, GGUF and a further adapter `french`; evaluations of `candidates`."""
    from tasks.evaluate import stage as evaluate
    from tasks.merge import stage as merge
    from tasks.quantize import stage as quantize

    paths = tiny.project(root)
    _speak_in_characters(paths)
    write_text(paths.params, f"evaluate: {SETTINGS}\n")
    merge.run(merge.Settings(), paths)
    if "gguf-q8_0" in candidates:
        quantize.run(quantize.Settings(), paths, "gguf-q8_0")
    for candidate in candidates:
        evaluate.run(evaluate.Settings.model_validate(SETTINGS), paths, candidate)
    tiny.adapter(paths.adapters / "french", paths.base / "model", scale=0.3)
    return paths


def _speak_in_characters(paths: Paths) -> None:
    """Keep the base from parts of characters, which no stream can show: what the random one would mostly say."""
    from safetensors.torch import load_file, save_file

    file = paths.base / "model" / "model.safetensors"
    tensors, tokenizer = load_file(file), tiny.tokenizer()
    broken = [token for token in range(len(tokenizer)) if not tokenizer.decode([token]).isprintable()]
    broken += [token for token in range(len(tokenizer)) if "\ufffd" in tokenizer.decode([token])]
    tensors["model.embed_tokens.weight"][broken] = 0
    save_file(tensors, file, metadata={"format": "pt"})
    tiny.record(paths, paths.base / "model", "trained", "model")


@contextmanager
def served(paths: Paths, *names: str, **options: Any) -> Iterator[Server]:
    """A server of those candidates that is ready, at a free port."""
    server = load_server(Options([*names], **{"port": 0, **options}), paths)
    started = threading.Event()
    ends: list[Any] = []

    async def work() -> None:
        ready, task = asyncio.Event(), asyncio.current_task()
        ends.append((asyncio.get_running_loop(), task))
        telling = asyncio.create_task(ready.wait())
        telling.add_done_callback(lambda _: started.set())
        try:
            await serve(server, ready)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            ends.append(error)
        finally:
            telling.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    assert started.wait(120)
    if len(ends) > 1:
        thread.join()
        raise ends[1]
    try:
        yield server
    finally:
        loop, task = ends[0]
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


class Scripted:
    """An engine that says what it is told, one piece after the other."""

    about = "scripted"

    def __init__(self, *pieces: str, finish: str = "stop", room: int = 400) -> None:
        self.pieces, self.finish, self.room, self.asked = pieces, finish, room, list[Ask]()

    def context(self, name: str) -> int:
        return self.room

    async def stream(self, name: str, ask: Ask) -> AsyncIterator[Piece]:
        self.asked.append(ask)
        for number, text in enumerate(self.pieces, 1):
            yield Piece(text, number)
        yield Piece("", len(self.pieces), self.finish)

    async def close(self) -> None: ...


def service(tokenizer: Any, paths: Paths, system: str = "", **engines: Scripted) -> Service:
    """Scripted models behind the parts of a real server."""
    voices = {}
    for name, engine in engines.items():
        prompter = Prompter(tokenizer, engine.context(name), "", system)
        voices[name] = Voice(engine, prompter, FieldReader(tokenizer, prompter.renderer, prompter.reader))
    models = [Model(name, (paths.base / "model", paths.tokenizer)) for name in engines]
    return Service(voices, Collector(paths, models, system), system)


@contextmanager
def behind(service: Service) -> Iterator[str]:
    """Its page at a free port, with the word that lets it save."""
    config = uvicorn.Config(build(service), log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    server, open_socket = uvicorn.Server(config), listen("127.0.0.1", 0)
    thread = threading.Thread(target=lambda: server.run(sockets=[open_socket]))
    thread.start()
    try:
        yield f"http://127.0.0.1:{open_socket.getsockname()[1]}/#{service.word}"
    finally:
        server.should_exit = True
        thread.join()
        open_socket.close()
