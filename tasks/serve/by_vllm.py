"""vLLM on a card: its own server as a process of ours, asked with token ids."""

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tasks.core.errors import MachineError, ModelError
from tasks.core.json_files import read_object
from tasks.models.adapter_files import adapter_config
from tasks.models.for_vllm import reserved_rank
from tasks.serve.engine import Ask, EngineError, Piece
from tasks.serve.models import Model

BASE = "base"
"""The name that the base has there where adapters are served on it."""

PAUSE, PATIENCE = 0.5, 1800.0
"""Seconds between two looks whether vLLM is ready, and until it counts as lost: it compiles at its first start."""


class Vllm:
    """One base, its adapters beside it. Raises `ModelError` where vLLM ends before it is ready."""

    def __init__(self, models: list[Model]) -> None:
        self._key, self._port = secrets.token_urlsafe(24), _free_port()
        self._names = {model.name: model.name if model.adapter else BASE for model in models}
        self._context = _context(models[0])
        self._process = subprocess.Popen(
            command(models, self._port), env={**os.environ, "VLLM_API_KEY": self._key, "HF_HUB_OFFLINE": "1"}
        )
        self._url = f"http://127.0.0.1:{self._port}/v1"
        _wait(self._process, f"http://127.0.0.1:{self._port}/health")
        self.about = "vLLM on the card"

    def context(self, name: str) -> int:
        return self._context

    async def stream(self, name: str, ask: Ask) -> AsyncIterator[Piece]:
        headers, last = {"Authorization": f"Bearer {self._key}"}, Piece()
        try:
            async with (
                httpx.AsyncClient(timeout=None, trust_env=False) as client,
                client.stream(
                    "POST", f"{self._url}/completions", json=body(self._names[name], ask), headers=headers
                ) as reply,
            ):
                if reply.status_code != 200:
                    raise EngineError(f"vLLM: {(await reply.aread())[:300].decode(errors='replace')}")
                async for line in reply.aiter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        last = piece(json.loads(line.removeprefix("data: ")), last)
                        yield last
        except httpx.HTTPError as error:
            raise EngineError(f"vLLM no longer answers ({error or type(error).__name__})") from None

    async def close(self) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.wait)


def command(models: list[Model], port: int) -> list[str]:
    """The command line of vLLM for these models, which share a base."""
    tokenizer = str(models[0].folders[-1])
    program = shutil.which("vllm")
    start = [program] if program else [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    words = [*start, "serve", str(models[0].base), "--served-model-name", BASE, "--tokenizer", tokenizer]
    # stop tokens of the training, and no sampling settings of the base
    words += ["--generation-config", tokenizer, "--host", "127.0.0.1", "--port", str(port)]
    adapters = {model.name: model.adapter for model in models if model.adapter}
    if adapters:
        ranks = [reserved_rank(adapter_config(folder)) for folder in adapters.values()]
        modules = [f"{name}={folder}" for name, folder in adapters.items()]
        words += ["--enable-lora", "--max-lora-rank", str(max(ranks)), "--lora-modules", *modules]
    return words


def body(name: str, ask: Ask) -> dict[str, Any]:
    """A request to vLLM's `/v1/completions`: the rendered prompt as ids, and text with special tokens."""
    sampling = {"temperature": ask.temperature, "top_p": ask.top_p, "top_k": -1, "repetition_penalty": 1.0}
    seed = {} if ask.seed is None else {"seed": ask.seed}
    return {"model": name, "prompt": ask.ids, "max_tokens": ask.max_tokens, "stream": True, **sampling, **seed,
            "skip_special_tokens": False, "spaces_between_special_tokens": False,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True}}  # fmt: skip


def piece(chunk: dict[str, Any], last: Piece) -> Piece:
    """What a chunk adds. The token that ends an answer stands in none."""
    if error := chunk.get("error"):
        raise EngineError(f"vLLM: {error.get('message', error) if isinstance(error, dict) else error}")
    tokens = (chunk.get("usage") or {}).get("completion_tokens") or last.tokens
    choice = chunk["choices"][0] if chunk.get("choices") else {}
    return Piece(choice.get("text") or "", tokens, choice.get("finish_reason") or last.finish)


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    import time

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ModelError(
                f"vLLM ended with exit code {process.returncode} before it was ready; its output is above."
            )
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(PAUSE)
    process.terminate()
    raise MachineError(f"vLLM was not ready after {PATIENCE:.0f} s; its output is above.")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _context(model: Model) -> int:
    from tasks.models.text_config import text_part

    return int(text_part(read_object(model.base / "config.json", ModelError)).get("max_position_embeddings") or 2048)
