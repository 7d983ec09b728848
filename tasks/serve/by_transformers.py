"""transformers: `model.generate` on a thread of its own, by the generation manager of `transformers serve`.

Of `transformers serve` itself the rest is left out, because it tells another model than the evaluated one: it renders
by its own call of the template, adds tokens to a rendered prompt, knows no adapters, drops special tokens that calls
and reasoning are read by, never samples where the model's settings do not, and counts an answer that ends at its last
token as cut. Adapters share the weights of their base: each request switches to its own.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tasks.chat.stops import setting, stop_ids
from tasks.core.numbers import counted
from tasks.evaluate import candidates
from tasks.evaluate.settings import Settings
from tasks.models.adapter_files import adapter_config
from tasks.models.foreign import foreign
from tasks.serve.engine import Ask, EngineError, Piece
from tasks.serve.models import Model
from tasks.serve.private_transformers import GenerateManager, Raw

CONTEXT = 2048
"""Tokens; assumed for a model whose configuration names no longest sequence, as in evaluation."""


class _View:
    """A model with one of its adapters on, or with none; generates as that one, drawing by a seed if there is one."""

    def __init__(self, model: Any, adapter: str | None, config: Any, seed: int | None = None) -> None:
        self.model, self.generation_config = model, config
        self._adapter, self._seed = adapter, seed

    def seeded(self, seed: int | None) -> "_View":
        """The same with that seed."""
        return _View(self.model, self._adapter, self.generation_config, seed)

    def generate(self, **arguments: Any) -> Any:
        """As `generate` of transformers. Calls come one after the other, from the manager's thread."""
        if self._seed is not None:
            torch.manual_seed(self._seed)
        with self._switched(), torch.inference_mode():
            return self.model.generate(**arguments)

    @contextmanager
    def _switched(self) -> Iterator[None]:
        if not hasattr(self.model, "peft_config"):
            yield
        elif self._adapter is None:
            with self.model.disable_adapter():
                yield
        else:
            self.model.set_adapter(self._adapter)
            yield


class Transformers:
    """Models in folders, on a card where there is one; those with one base have its weights once."""

    def __init__(self, models: list[Model], settings: Settings, tokenizers: dict[str, Any]) -> None:
        torch.set_num_threads(settings.threads)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else counted(settings.threads, "CPU threads")
        self.about = f"transformers {version('transformers')} (the engine of `transformers serve`) on {device}"
        self._views: dict[str, _View] = {}
        self._managers: dict[str, GenerateManager] = {}
        self._tokenizers = tokenizers
        groups: dict[Path, list[Model]] = {}
        for model in models:
            groups.setdefault(model.base, []).append(model)
        for group in groups.values():
            manager = GenerateManager()
            loaded = _load(group, settings, tokenizers)
            for model in group:
                tokenizer = tokenizers[model.name]
                config = copy.deepcopy(loaded.generation_config)
                ends = set().union(*(stop_ids(folder, tokenizer) for folder in model.folders))
                config.eos_token_id = setting(ends, tokenizer)
                self._views[model.name] = _View(loaded, model.name if model.adapter else None, config)
                self._managers[model.name] = manager

    def context(self, name: str) -> int:
        config = self._views[name].model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", CONTEXT))

    async def stream(self, name: str, ask: Ask) -> AsyncIterator[Piece]:
        view, tokenizer = self._views[name], self._tokenizers[name]
        ids = torch.tensor([ask.ids], device=view.model.device)
        config = _sampling(view.generation_config, ask)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        queue, streamer = self._managers[name].generate_streaming(
            view.seeded(ask.seed), tokenizer, inputs, config, "", Raw()
        )
        ends = _texts(config.eos_token_id, tokenizer)
        finish = ""
        try:
            while (item := await queue.get()) is not None:
                if not isinstance(item, str):
                    raise EngineError(str(getattr(item, "msg", item)))
                end = next((end for end in ends if item.endswith(end)), "")
                finish = "stop" if end else ""
                yield Piece(item.removesuffix(end), streamer.total_tokens)
            yield Piece(tokens=streamer.total_tokens, finish=finish or "length")
        finally:
            streamer.cancel()

    async def close(self) -> None:
        await asyncio.sleep(0)  # threads are daemons, and end at the next token


def _load(group: list[Model], settings: Settings, tokenizers: dict[str, Any]) -> Any:
    """The models of one base, those with an adapter as adapters of one model."""
    adapted = [model for model in group if model.adapter]
    first = adapted[0] if adapted else group[0]
    if not adapted:
        return candidates.load(first.name, settings, list(first.folders), tokenizers[first.name])
    loaded = candidates.load("adapter", settings, list(first.folders), tokenizers[first.name])
    for model in adapted:  # under its own name, the first once more: peft calls it `default`
        assert model.adapter
        adapter_config(model.adapter)
        with foreign(model.adapter, "train again"):
            loaded.load_adapter(str(model.adapter), adapter_name=model.name)
    loaded.set_adapter(adapted[0].name)
    loaded.delete_adapter("default")
    return loaded.eval()


def _sampling(config: Any, ask: Ask) -> Any:
    """The model's own settings for generation, with what is asked."""
    asked = copy.deepcopy(config)
    asked.max_new_tokens, asked.do_sample = ask.max_tokens, ask.temperature > 0
    if asked.do_sample:
        asked.temperature, asked.top_p, asked.top_k = ask.temperature, ask.top_p, 0
    return asked


def _texts(ids: int | list[int], tokenizer: Any) -> list[str]:
    return [tokenizer.decode([token]) for token in (ids if isinstance(ids, list) else [ids])]
