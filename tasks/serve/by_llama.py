"""llama.cpp for a GGUF file: the server of the package xllamacpp, asked within this process.

Its cache holds float32, as in evaluation. The package opens a port of its own for the server, at loopback; a key that
nobody else has keeps others from it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from tasks.chat.stops import stop_ids
from tasks.core.errors import ModelError
from tasks.core.numbers import counted
from tasks.models.gguf.library import F32, PACKAGE, errors, library
from tasks.serve.engine import Ask, EngineError, Piece
from tasks.serve.models import Model

CONTEXT = 2048
"""Tokens; assumed for a file that names none."""


class LlamaCpp:
    """One GGUF file. Raises `ModelError` where llama.cpp cannot load it."""

    def __init__(self, model: Model, threads: int, tokenizer: Any) -> None:
        library()  # quiet, and checked to be the version that was tried
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model.gguf)
        params.n_ctx, params.n_parallel, params.port = 0, 1, 0
        params.api_keys = [secrets.token_urlsafe(24)]
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type(F32)
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.warmup = params.ui = params.endpoint_slots = params.endpoint_props = False
        params.special = True  # calls and reasoning are read by special tokens
        params.verbosity = -1
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(f"{model.gguf}: llama.cpp cannot load it ({error}; {'; '.join(errors[-2:])}).") from None
        self.about = f"llama.cpp ({PACKAGE} {version(PACKAGE)}) on {counted(threads, 'CPU threads')}"
        self._context = _context(model)
        self._ends = [tokenizer.decode([token]) for token in stop_ids(model.folders[-1], tokenizer)]

    def context(self, name: str) -> int:
        return self._context

    async def stream(self, name: str, ask: Ask) -> AsyncIterator[Piece]:
        loop, queue, stopped = asyncio.get_running_loop(), asyncio.Queue[Any](), [False]

        def take(chunk: Any) -> bool:
            loop.call_soon_threadsafe(queue.put_nowait, chunk)
            return stopped[0]

        def work() -> None:
            try:
                self._server.handle_completions(_body(ask, self._ends), take)
            except Exception as error:  # it raises whatever C++ raised
                take({"error": {"message": str(error)}})
            take(None)

        running = loop.run_in_executor(None, work)
        last = Piece()
        try:
            while (chunk := await queue.get()) is not None:
                for one in chunk if isinstance(chunk, list) else [chunk]:
                    last = self._piece(one, last)
                    yield last
            await running
        finally:
            stopped[0] = True

    async def close(self) -> None:
        await asyncio.sleep(0)  # it ends with the process

    def _piece(self, chunk: dict[str, Any], last: Piece) -> Piece:
        if error := chunk.get("error"):
            raise EngineError(f"llama.cpp: {error.get('message', error)}")
        choice = chunk["choices"][0]
        text = choice.get("text") or ""
        end = next((end for end in self._ends if end and text.endswith(end)), "")
        tokens = (chunk.get("usage") or {}).get("completion_tokens") or last.tokens + bool(text)
        return Piece(text.removesuffix(end), tokens, choice.get("finish_reason") or "")


def _body(ask: Ask, ends: list[str]) -> dict[str, Any]:
    """A request to llama.cpp's `/v1/completions`; its own sampling settings are set aside."""
    sampling = {"temperature": ask.temperature, "top_p": ask.top_p, "top_k": 0, "min_p": 0.0}
    seed = {} if ask.seed is None else {"seed": ask.seed}
    return {"prompt": ask.ids, "max_tokens": ask.max_tokens, "stream": True, "stop": ends, **sampling, **seed}


def _context(model: Model) -> int:
    """Tokens that the model was made for, as its file says; without loading it once more."""
    from gguf import GGUFReader, Keys

    reader = GGUFReader(model.gguf)
    architecture = reader.get_field(Keys.General.ARCHITECTURE)
    field = reader.get_field(Keys.LLM.CONTEXT_LENGTH.format(arch=architecture.contents())) if architecture else None
    return int(field.contents()) if field else CONTEXT
