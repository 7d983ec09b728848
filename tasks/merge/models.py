"""Whole models of one base as one: what each of them changed is weighed and added to the base, a weight at a time.

A soup (Wortsman et al. 2022, arXiv:2203.05482) is `linear` with weights that add up to 1; with others it is task
arithmetic (Ilharco et al. 2023, arXiv:2212.04089). The numbers are those of peft, which has the methods for adapters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path

import torch

from tasks.core.errors import ModelError
from tasks.merge.changes import added
from tasks.merge.combine import TRAINED, Combine, check_whole
from tasks.merge.layers import OffloadedModel
from tasks.merge.plan import misfit
from tasks.merge.soup import WeightedSum, weighted_sum
from tasks.merge.source import Source, source
from tasks.models.shards import StoredTensor, stored_tensors
from tasks.models.writing import Pieces


@dataclass(frozen=True, kw_only=True)
class CombinedSource(Source):
    """The weights of the trained model, each as it is after combining."""

    combine: Combine
    base: OffloadedModel
    others: Mapping[str, OffloadedModel]
    """Models by the names of their folders."""

    def passed(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """See `Source`."""
        models = {TRAINED: value, **{other: model.merged(name) for other, model in self.others.items()}}
        if self.is_mean:
            return weighted_sum((models[other], weight) for other, weight in self.combine.weights.items())
        start = self.base.merged(name)
        changes = [models[other].sub_(start) for other in self.combine.weights]
        return added(name, changes, self.combine).add_(start)

    def alters(self, name: str) -> bool:
        """See `Source`: every weight is another one."""
        return True

    def pieces(self, name: str, stored: StoredTensor, dtype: torch.dtype) -> Pieces | None:
        """See `Source`: of means, which need no other number of the weight, and not the base."""
        if not self.is_mean:
            return None
        tensors = {TRAINED: stored, **{other: model.stored(name) for other, model in self.others.items()}}
        terms = [(tensors[other], weight) for other, weight in self.combine.weights.items()]
        plain = [(tensor, weight) for tensor, weight in terms if tensor is not None and tensor.shape == stored.shape]
        return WeightedSum(tuple(plain), dtype) if len(plain) == len(terms) else None

    @property
    def is_mean(self) -> bool:
        """Whether the weights add up to 1, so that what the base has cancels out."""
        return self.combine.method == "linear" and isclose(sum(self.combine.weights.values()), 1)


def combined_source(base: Path, tuned: Path, combine: Combine, folders: Mapping[str, Path]) -> CombinedSource:
    """The weights of the models in `tuned` and in `folders`, combined. Raises `ModelError` where they do not fit."""
    check_whole(combine, folders)
    trained = OffloadedModel(source(tuned))
    rows = int(trained.embeddings.weight.shape[0])
    start = OffloadedModel(source(base), rows)
    others = {name: OffloadedModel(source(folder)) for name, folder in folders.items()}
    for folder, model in ((base, start), *((folders[name], other) for name, other in others.items())):
        if why := misfit(model):
            raise ModelError(f"merge.combine: {folder} cannot be read one weight at a time: {why}; remove it.")
        if model.shapes != trained.shapes or model.config.model_type != trained.config.model_type:
            raise ModelError(
                f"merge.combine: the weights of {folder} differ from those of {tuned} in type, name or shape, so they "
                "cannot be added; combine models tuned from the same base."
            )
    return CombinedSource(tuned, stored_tensors(tuned), combine=combine, base=start, others=others)
