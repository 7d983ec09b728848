"""Who computes: an engine goes on from token ids and gives text as it comes. Which one is chosen by what is there."""

import importlib.util
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from tasks.core.errors import SettingsError
from tasks.evaluate.settings import Settings
from tasks.serve.models import Model


@dataclass(frozen=True)
class Ask:
    """One prompt as an engine gets it."""

    ids: list[int]
    """The rendered prompt."""
    max_tokens: int
    temperature: float = 0.0
    """0 takes the most likely token, as the evaluation does."""
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Piece:
    """What came since the last one."""

    text: str = ""
    """With special tokens, without the token that ended the answer."""
    tokens: int = 0
    """Of the whole answer so far."""
    finish: str = ""
    """In the last piece `stop` or `length`."""


class Engine(Protocol):
    """What computes one or more models."""

    about: str
    """Its name, version and device, for people."""

    def context(self, name: str) -> int:
        """Tokens that prompt and answer of the model `name` may have together."""

    def stream(self, name: str, ask: Ask) -> AsyncIterator[Piece]:
        """The answer of the model `name`. Who closes the iterator before its end stops the work."""

    async def close(self) -> None:
        """End what was started."""


class EngineError(Exception):
    """The engine could not go on; the message says why."""


def engines(models: list[Model], settings: Settings, tokenizers: dict[str, object]) -> dict[str, Engine]:
    """The engine of each of `models`, loaded: llama.cpp for GGUF, vLLM on a card, else transformers.

    Raises `SettingsError` or `ModelError` for what no engine here can serve.
    """
    by_name: dict[str, Engine] = {}
    files = [model for model in models if model.gguf]
    folders = [model for model in models if not model.gguf]
    for model in files:
        from tasks.serve.by_llama import LlamaCpp

        by_name[model.name] = LlamaCpp(model, settings.threads, tokenizers[model.name])
    if folders and vllm_fits(folders):
        from tasks.serve.by_vllm import Vllm

        by_name |= dict.fromkeys([model.name for model in folders], Vllm(folders))
    elif folders:
        from tasks.serve.by_transformers import Transformers

        by_name |= dict.fromkeys([model.name for model in folders], Transformers(folders, settings, tokenizers))
    if not by_name:
        raise SettingsError("nothing to serve: name a candidate.")
    return by_name


def vllm_fits(models: list[Model]) -> bool:
    """Whether vLLM is installed, a card is there, and the models share one base, the only thing a vLLM serves."""
    if not (shutil.which("vllm") or importlib.util.find_spec("vllm")) or len({model.base for model in models}) > 1:
        return False
    import torch

    return torch.cuda.is_available()
