"""Batches of one model on all cores of this machine, or on the nodes of a cluster, to which the model is sent.

A batch gives the same answers wherever it is worked on, as long as it is on the same kind of device with as many
threads: `evaluate.threads`, which is a part of the result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch

from tasks.engine.chosen import Engine as Machinery
from tasks.engine.chosen import Local
from tasks.evaluate import candidates
from tasks.evaluate.answer_store import AnswerStore
from tasks.evaluate.engine import CarriedOut, Engine
from tasks.evaluate.settings import Settings
from tasks.models.sent import packed, unpack

COPIES = 4
"""Times the keys and values of a batch that working on it takes: their copies, its logits, what a layer computes."""

SHARE = 0.5
"""Of the memory that is free, what batches may take together."""


@dataclass(frozen=True)
class Origin:
    """What a model is loaded from, and how it is asked."""

    candidate: str
    settings: Settings
    folders: list[Path]
    context: int


def carried_out(machinery: Machinery, model: Any, origin: Origin) -> CarriedOut:
    """What works on a model's batches: the nodes of a cluster, or forks of this process, which share the weights."""
    if machinery.remote:
        cores, work = origin.settings.threads, Sent(origin)
        return lambda _, asked: machinery.ordered(work, asked, cores=cores, card=True)
    return Local(forks(model, origin.settings, machinery.places)).ordered


def forks(model: Any, settings: Settings, places: int) -> int:
    """Processes that may work on batches at once: no more than there is memory for, and 1 where a fork would hang.

    A fork has none of the threads of this process, on which libraries with threads of their own would wait.
    """
    plain = isinstance(model, torch.nn.Module) and getattr(model.config, "quantization_config", None) is None
    if not plain or settings.threads > 1 or model.device.type != "cpu":
        return 1
    config = model.config.get_text_config()
    token = 2 * config.num_hidden_layers * config.hidden_size * next(model.parameters()).element_size()
    batch = max(1, COPIES * token * settings.batch_tokens)
    able = int(SHARE * psutil.virtual_memory().available) // int(batch)
    return max(1, min(places, able))


class Sent:
    """A model as its files, which is loaded where it arrives."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def __call__(self, asked: list[Any]) -> list[Any]:
        """Never called where it was not sent."""
        raise AssertionError("the model was not sent")

    def __reduce__(self) -> tuple[Any, ...]:
        origin = self._origin
        contents = [packed(folder) for folder in origin.folders]
        return _loaded, (contents, origin.candidate, origin.settings, origin.context)


def _loaded(
    contents: list[dict[str, bytes]], candidate: str, settings: Settings, context: int
) -> Callable[[list[Any]], list[Any]]:
    torch.set_num_threads(settings.threads)
    with TemporaryDirectory(prefix="model-") as place:
        folders = [unpack(files, Path(place) / str(number)) for number, files in enumerate(contents)]
        tokenizer = candidates.chat_tokenizer(folders[-1])
        model = candidates.load(candidate, settings, folders, tokenizer)
        store = AnswerStore(Path(place) / "answers", "0" * 32)  # nothing is ever asked of it
    return Engine.of(settings, model, tokenizer, context, store).compute
