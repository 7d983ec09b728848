"""What training made, in two ways to hold it: weights on disk, one layer at a time; or all of them in memory by peft.

Both give the logits of the model as it was trained, and write it merged.

    trained = open_trained(base, adapter, paths.trained, MergeOptions())
    before, reference = trained.live(rows)  # logits (T, V) of each row, of the base and of the tuned model
    trained.write(tokenizer, dtype, keep, out)  # the model folder
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch

from tasks.core.progress import reporter
from tasks.merge.adapter import Adapter
from tasks.merge.combine import Combine, combine_adapters
from tasks.merge.folder import save_beside
from tasks.merge.layers import OffloadedModel
from tasks.merge.models import combined_source
from tasks.merge.plan import misfit, plan
from tasks.merge.source import Quantization, Source, pass_through, quantized_model, source
from tasks.merge.whole import load_whole, merge_whole, save_whole, with_adapter
from tasks.models.equivalence import logits
from tasks.models.loading import grow
from tasks.models.shards import stored_tensors
from tasks.models.writing import write

Logits = list[torch.Tensor]

MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of malloc.h: blocks from this size, in bytes, are the system's own."""


@dataclass(frozen=True)
class MergeOptions:
    """What is special about merging an adapter."""

    quantization: Quantization | None = None
    """How the weights were quantised into which it is merged; None: it is merged into those that are stored."""
    reference: Quantization | None = None
    """How the base was quantised while it was trained, whatever is asked for: what is written is compared with that."""
    combine: Combine | None = None
    """How it is combined with others."""
    others: dict[str, Adapter] = field(default_factory=dict)
    """Those, by name."""
    models: dict[str, Path] = field(default_factory=dict)
    """Folders of the whole models that a whole model is combined with, by name."""

    @property
    def exact(self) -> bool:
        """Whether float32 can say what was trained to its last digits: int8 rounds what a layer reads as well, and no
        weights can repeat that."""
        return self.quantization == self.reference and not (self.reference and self.reference.scheme == "int8")


BEFORE, LIVE = "merge: logits of the base", "merge: logits of the tuned model"
"""What is told while both are computed."""


class Trained(Protocol):
    """Base with adapter, or a model that was tuned whole."""

    by: str
    """How it is merged, for the record."""
    rows: int
    """Rows of embeddings."""

    def live(self, rows: list[list[int]]) -> tuple[Logits, Logits]:
        """Logits before training, and after it, for the token ids of each row."""
        ...

    def write(self, tokenizer: Any, dtype: torch.dtype, keep: bool, out: Path) -> None:
        """Merge into the folder `out`, stored as `dtype`; `keep`: each tensor as the base stores it."""
        ...


class Layerwise:
    """A base whose weights stay on disk, with `adapter` on it; or the model that was tuned whole, in `tuned`."""

    by = "one layer at a time"

    def __init__(self, base: Path, adapter: Adapter | None, tuned: Path, how: MergeOptions) -> None:
        self.base, self.adapter, self.tuned, self.how = base, adapter, tuned, how
        self.source = source(base) if adapter else _whole_source(base, tuned, how)
        plain = OffloadedModel(self.source)
        self.misfit = misfit(plain)
        self.brought, self.rows = _vocabulary(plain.model, adapter)
        self.unused = plain if self.brought is None else None
        """A offloaded that nothing was put on yet; building one takes a while."""

    def live(self, rows: list[list[int]]) -> tuple[Logits, Logits]:
        """See `Trained`."""
        quantized = None
        if self.adapter and self.how.quantization:
            quantized = quantized_model(self.base, self.how.quantization)
            self.source = source(self.base, self.how.quantization, quantized)
        if self.adapter and self.how.reference:
            model = _reference(self.base, self.how, self.how.reference, quantized)
            return _live(model, self.brought, self.adapter, self.how, rows)
        offloaded = OffloadedModel(source(self.base), self.brought)
        offloaded.runnable(_roomy(offloaded))
        before = logits(offloaded.model, rows, BEFORE)
        if not self.adapter:
            return before, _logits_of(self.source, rows)
        self._attach(offloaded, self.adapter)
        offloaded.runnable(_roomy(offloaded))
        return before, logits(offloaded.tuned, rows, LIVE)

    def write(self, tokenizer: Any, dtype: torch.dtype, keep: bool, out: Path) -> None:
        """See `Trained`."""
        offloaded = self.write_weights(None if keep and self.adapter else dtype, out)
        save_beside(offloaded.model, self.source.folder, tokenizer, dtype, out)

    def write_weights(self, dtype: torch.dtype | None, out: Path) -> OffloadedModel:
        """Write the merged weights alone, as `dtype` or, for None, each as the base stores it; return their model."""
        offloaded, self.unused = self.unused or OffloadedModel(self.source, self.brought), None
        offloaded.source = self.source
        if self.adapter:
            self._attach(offloaded, self.adapter)
        _give_back()
        files = plan(offloaded, dtype)
        total = sum(tensor.size for tensors in files.values() for tensor in tensors.values())
        write(out, files, reporter("merge", total, "bytes"))
        return offloaded

    def _attach(self, offloaded: OffloadedModel, adapter: Adapter) -> None:
        offloaded.attach(adapter.folder, set(adapter.tensors))
        _combine(
            offloaded.tuned, self.how, lambda name, other: offloaded.attach(other.folder, set(other.tensors), name)
        )


class Whole:
    """All weights in memory, merged by peft; `why` it has to be."""

    def __init__(self, base: Path, adapter: Adapter | None, tuned: Path, how: MergeOptions, why: str) -> None:
        self.base, self.adapter, self.tuned, self.how = base, adapter, tuned, how
        self.by = f"peft with the whole base in memory: {why}"
        self.model = load_whole(base)
        self.brought, self.rows = _vocabulary(self.model, adapter)

    def live(self, rows: list[list[int]]) -> tuple[Logits, Logits]:
        """See `Trained`."""
        if not self.adapter:
            before, self.model = logits(self.model, rows, BEFORE), load_whole(self.tuned)
            return before, logits(self.model, rows, LIVE)
        quantized = None
        if self.brought is not None:
            grow(self.model, range(self.brought))
        if self.how.quantization:
            quantized = quantized_model(self.base, self.how.quantization)
            pass_through(self.model, self.how.quantization, quantized)
        if self.how.reference:
            model = _reference(self.base, self.how, self.how.reference, quantized)
            trained = _live(model, self.brought, self.adapter, self.how, rows)
            self.model = _with_all(self.model, self.brought, self.adapter, self.how)
            return trained
        before = logits(self.model, rows, BEFORE)
        self.model = _with_all(self.model, self.brought, self.adapter, self.how)
        return before, logits(self.model, rows, LIVE)

    def write(self, tokenizer: Any, dtype: torch.dtype, keep: bool, out: Path) -> None:
        """See `Trained`; peft gives every tensor one type, so `keep` has no effect."""
        merged = merge_whole(self.model) if self.adapter else self.model
        save_whole(merged, self.base if self.adapter else self.tuned, tokenizer, dtype, out)


def open_trained(base: Path, adapter: Adapter | None, tuned: Path, how: MergeOptions) -> Trained:
    """What was trained, held the way that needs the least memory."""
    why = adapter.whole if adapter else None
    if not why:
        layerwise = Layerwise(base, adapter, tuned, how)
        if not layerwise.misfit:
            return layerwise
        why = layerwise.misfit
    return Whole(base, adapter, tuned, how, why)


def _vocabulary(model: Any, adapter: Adapter | None) -> tuple[int | None, int]:
    """Rows of embeddings that the adapter brings along, None where it brings none, and those of the tuned model."""
    embeddings = model.get_input_embeddings()
    path = next(path for path, module in model.named_modules() if module is embeddings)
    brought = adapter.vocabulary(path) if adapter else None
    return brought, brought or int(embeddings.weight.shape[0])


def _reference(base: Path, how: MergeOptions, reference: Quantization, quantized: Any) -> Any:
    """The base as it was held in training: `quantized`, which it is merged into, where that is the same."""
    return quantized if how.quantization == reference else quantized_model(base, reference)


def _live(
    model: Any, vocabulary: int | None, adapter: Adapter, how: MergeOptions, rows: list[list[int]]
) -> tuple[Logits, Logits]:
    """Logits of `model`, a base in memory, before and after its adapters are put on it."""
    if vocabulary is not None:  # rows may have new tokens, and a base that lacks their embeddings fails on them
        grow(model, range(vocabulary))
    before = logits(model, rows, BEFORE)
    return before, logits(_with_all(model, vocabulary, adapter, how), rows, LIVE)


def _with_all(model: Any, vocabulary: int | None, adapter: Adapter, how: MergeOptions) -> Any:
    """`model` with its adapters, and `vocabulary` rows of embeddings where they bring their own."""
    if vocabulary is not None:
        model.resize_token_embeddings(vocabulary, mean_resizing=False)
    tuned = with_adapter(model, adapter.folder)
    _combine(tuned, how, lambda name, other: tuned.load_adapter(other.folder, name))
    return tuned


def _combine(tuned: Any, how: MergeOptions, attach: Callable[[str, Adapter], Any]) -> None:
    if how.combine:
        for name, other in how.others.items():
            attach(name, other)
        combine_adapters(tuned, how.combine)


def _whole_source(base: Path, tuned: Path, how: MergeOptions) -> Source:
    """The weights of the model that was tuned whole, and combined with others where that is asked for."""
    return combined_source(base, tuned, how.combine, how.models) if how.combine else source(tuned)


def _logits_of(weights: Source, rows: list[list[int]]) -> Logits:
    """Logits of a model in float32, its weights read as they are needed."""
    offloaded = OffloadedModel(weights)
    if misfit(offloaded):
        return logits(load_whole(weights.folder), rows, LIVE)
    offloaded.runnable(_roomy(offloaded))
    return logits(offloaded.model, rows, LIVE)


def parameters(folder: Path) -> int:
    """Numbers in the weights of `folder`."""
    return sum(tensor.size // tensor.dtype.itemsize for tensor in stored_tensors(folder).values())


def _roomy(offloaded: OffloadedModel) -> bool:
    """Whether all weights may stay in memory once they are read. It changes the time, not the result."""
    needed = 4 * sum(weight.numel() for weight in offloaded.weights.values())
    return bool(needed < psutil.virtual_memory().available // 3)


def _give_back() -> None:
    """Have freed tensors go back to the system at once.

    glibc keeps blocks of up to 32 MiB once it has seen some, and between them memory grows to the size of the model.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(MMAP_THRESHOLD, 2**20)
