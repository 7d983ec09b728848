"""The order in which rows are trained, where they do not come at random.

transformers too puts rows of similar length into one batch (`train_sampling_strategy="group_by_length"`). It draws from
the global generator as it stands when an epoch begins, so a run that goes on in its second epoch gets other batches
than the undisturbed one; it goes from long to short fifty batches at a time, which the loss follows; and it reads every
row into Python first.

Shapes: `B` rows of a batch, `N` rows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc
from torch.utils.data import Sampler

BATCHES = 50
"""Batches' worth of rows, drawn at random, that are sorted together: alike in a batch, and others each epoch."""


class LengthGroupedSampler(Sampler[int]):
    """Row numbers in an order that depends on the lengths, the seed and the epoch, and on nothing else."""

    def __init__(self, rows: Any, batch_size: int, seed: int) -> None:
        """`rows`: a `datasets.Dataset` with a column input_ids; `batch_size`: rows a forward pass."""
        self.lengths = pc.list_value_length(rows.data.column("input_ids")).to_numpy()
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader as an epoch begins, also where training goes on in the midst of one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Each row once: full batches in random order, then the rows that are too few for one."""
        generator = np.random.default_rng([self.seed, self.epoch])
        drawn = generator.permutation(len(self.lengths))  # (N,)
        together = np.arange(len(drawn)) // (BATCHES * self.batch_size)
        sorted_rows = drawn[np.lexsort((self.lengths[drawn], together))]
        full = len(drawn) // self.batch_size
        batches = sorted_rows[: full * self.batch_size].reshape(full, self.batch_size)  # (N // B, B)
        for batch in generator.permutation(full).tolist():
            yield from batches[batch].tolist()
        yield from sorted_rows[full * self.batch_size :].tolist()


class OrderedSampler(Sampler[int]):
    """Numbers of rows or packs by rising ranks, the same in every epoch but for equal ones, which are shuffled."""

    def __init__(self, ranks: Any, seed: int) -> None:
        """`ranks` (N): what comes early has a low one."""
        self.ranks, self.seed = np.asarray(ranks), seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader as an epoch begins, also where training goes on in the midst of one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.ranks)

    def __iter__(self) -> Iterator[int]:
        drawn = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.ranks))
        yield from drawn[np.argsort(self.ranks[drawn], kind="stable")].tolist()


class RepeatedPromptSampler(Sampler[int]):
    """Numbers of prompts for several answers each: batches of prompts, in an order of the seed and the epoch alone.

    trl's own goes on with one generator from epoch to epoch, so a run that goes on in its second epoch gets the order
    of the first again; and it drops the prompts that fill no batch. Here they are joined by the first ones once more.
    """

    def __init__(self, prompts: int, answers: int, batch: int, repeats: int, seed: int) -> None:
        """`batch`: prompts that are answered together; `repeats`: times that their answers are used."""
        self.prompts, self.answers, self.batch, self.repeats, self.seed = prompts, answers, batch, repeats, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader as an epoch begins, also where training goes on in the midst of one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.prompts // self.batch) * self.batch * self.answers * self.repeats

    def __iter__(self) -> Iterator[int]:
        """Each prompt `answers` times, side by side; each batch of prompts `repeats` times, one after the other."""
        drawn = np.random.default_rng([self.seed, self.epoch]).permutation(self.prompts)
        whole = np.resize(drawn, -(-self.prompts // self.batch) * self.batch)
        for batch in whole.reshape(-1, self.batch):
            for _ in range(self.repeats):
                yield from np.repeat(batch, self.answers).tolist()
