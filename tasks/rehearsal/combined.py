"""What `merge.combine` would refuse beside the model that is trained: files cut off, other kinds, other shapes.

for check in checks({"merge"}): check()
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tasks.core.errors import InputError
from tasks.core.paths import PATHS, Paths
from tasks.merge.combine import is_adapter, other_adapters
from tasks.models.skeleton import configured_base
from tasks.rehearsal.sections import section
from tasks.training.methods import METHODS

GROWN = ("embed", "lm_head")
"""Parts of the names of weights that get a row for each new token."""


def checks(needed: set[str]) -> Iterator[Callable[[], object]]:
    """Functions that raise `TemperError` where what lies in data/adapters cannot be combined with what train makes.

    `needed`: the stages that are asked.
    """
    if "merge" not in needed or (combine := section("merge").combine) is None:
        return
    from tasks.models.shards import stored_tensors  # it loads torch, and most runs combine nothing

    for name, folder in other_adapters(combine, Paths().adapters).items():
        yield partial(_check_kind, name, folder)
        yield partial(stored_tensors, folder)
        if not is_adapter(folder) and (base := configured_base()) is not None:
            yield partial(_check_shapes, folder, *base)


def _check_kind(name: str, folder: Path) -> None:
    """Raise `InputError` where `folder` holds an adapter, and train tunes the whole model, or the other way round."""
    train, align = section("train"), section("align")
    tuned = align if align.objective != "off" and align.start != "train" else train
    whole = METHODS[tuned.method].kind is None
    if whole == is_adapter(folder):
        kinds = ("a whole model", "an adapter") if whole else ("an adapter", "a whole model")
        raise InputError(
            f"merge.combine.weights: {folder} is {kinds[1]}, but {tuned.method} makes {kinds[0]} ({PATHS.params}); "
            f"remove {name}, or tune by another method."
        )


def _check_shapes(folder: Path, location: str, base: Path) -> None:
    """Raise `InputError` where the whole model in `folder` has not the weights of the base."""
    from tasks.models.shards import stored_tensors

    if not any(base.glob("*.safetensors")):
        return  # on the hub, and not downloaded yet
    own, of_base = (
        {name: tensor.shape for name, tensor in stored_tensors(one).items() if not any(part in name for part in GROWN)}
        for one in (folder, base)
    )
    if other := sorted({name for name in {*own, *of_base} if own.get(name) != of_base.get(name)}):
        sizes = [str(tuple(one[other[0]])) if other[0] in one else "missing" for one in (own, of_base)]
        raise InputError(
            f"merge.combine.weights: {folder} was not tuned from the base {location}: {other[0]} is {sizes[0]} there, "
            f"but {sizes[1]} in the base; combine models tuned from the same base."
        )
