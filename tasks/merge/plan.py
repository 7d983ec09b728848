"""What the merged folder will hold: for each tensor its file, type and shape, and how its bytes come about."""

from functools import partial

import torch

from tasks.core.errors import ModelError
from tasks.merge.layers import OffloadedModel
from tasks.merge.lora import plain_lora
from tasks.models.private_transformers import renames_weights
from tasks.models.shards import StoredTensor
from tasks.models.writing import PlannedTensor

Files = dict[str, dict[str, PlannedTensor]]


def misfit(offloaded: OffloadedModel) -> str | None:
    """Why the base's tensors are not, name by name, the weights of its model; None where they are.

    Raises `ModelError` where they are but for some that are missing: those would be made up at random.
    """
    paths = offloaded.paths
    missing = [name for name in sorted(set(paths.values())) if offloaded.stored_name(name) is None]
    if not missing:
        return None
    known = set(offloaded.source.tensors) & set(paths)
    if known and not renames_weights(offloaded.model):
        raise ModelError(
            f"the base lacks {len(missing)} of its weights, such as {missing[0]}; they would be made up at random: "
            "restore the files of the model."
        )
    return f"the base stores its weights under other names than its model has (such as {missing[0]})"


def plan(offloaded: OffloadedModel, dtype: torch.dtype | None) -> Files:
    """Every tensor of the merged model, in files named as the base's; floating ones as `dtype`, None: as stored.

    Where an adapter changes only one of two weights that were tied, both are written and the configuration says so.
    """
    source, paths = offloaded.source, offloaded.paths
    tuned = offloaded.tuned_paths()
    users: dict[str, list[str]] = {}
    for path, name in paths.items():
        users.setdefault(name, []).append(path)
    files: Files = {}
    for name, own in users.items():
        stored_name = offloaded.stored_name(name)
        if stored_name is None:
            raise ModelError(f"the base lacks the tensor {name}; restore the files of the model.")
        tensor = source.tensors[stored_name]
        kind = _written_type(tensor, dtype)
        shares = sorted(set(own) & tuned)
        apart = len(own) > 1 and bool(shares) and not _same(offloaded, own)
        for path in own if apart else [own[0]]:
            written = path if apart else name
            shape = offloaded.shapes[name]
            copied = not shares and not source.alters(stored_name) and kind == tensor.dtype and tensor.shape == shape
            make = tensor if copied else partial(_made, offloaded, path if apart else (shares or own)[0], kind)
            files.setdefault(tensor.file.name, {})[written] = PlannedTensor(kind, shape, make)
        if apart:
            offloaded.config.get_text_config().tie_word_embeddings = False
            offloaded.config.tie_word_embeddings = False
    for name in (*offloaded.buffers.keys() & source.tensors.keys(), *unread(offloaded)):
        tensor = source.tensors[name]
        kind = _written_type(tensor, dtype)
        make = tensor if kind == tensor.dtype else partial(_stored, tensor, kind)
        files.setdefault(tensor.file.name, {})[name] = PlannedTensor(kind, tensor.shape, make)
    return dict(sorted(files.items()))


def unread(offloaded: OffloadedModel) -> list[str]:
    """Names of what the base stores and its model does not read, such as layers that predict further tokens.

    They are copied as they are: what the base has, the merged model has.
    """
    read = set(offloaded.paths) | set(offloaded.paths.values()) | set(offloaded.buffers)
    return sorted(set(offloaded.source.tensors) - read)


def _written_type(tensor: StoredTensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.dtype.is_floating_point else tensor.dtype


def _stored(tensor: StoredTensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.read().to(dtype)


def _same(offloaded: OffloadedModel, paths: list[str]) -> bool:
    first, *others = (offloaded.merged(path) for path in paths)
    return all(torch.equal(first, other) for other in others)


def _made(offloaded: OffloadedModel, path: str, dtype: torch.dtype) -> torch.Tensor:
    plain = plain_lora(offloaded, path)
    return plain.merged(dtype) if plain else offloaded.merged(path).to(dtype)
