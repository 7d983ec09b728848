"""What the merged folder will hold: for each tensor its file, type and shape, and how its bytes come about.

Each tensor of the base is there again under its own name; one that training did not touch is copied as it is.
"""

from functools import partial
from threading import Lock

import torch

from tasks.core.errors import ModelError
from tasks.merge.layers import OffloadedModel
from tasks.merge.lora import plain_lora
from tasks.models.conversion import Group
from tasks.models.shards import StoredTensor
from tasks.models.writing import PlannedTensor

Files = dict[str, dict[str, PlannedTensor]]


def misfit(offloaded: OffloadedModel) -> str | None:
    """Why the base's tensors cannot be merged a few at a time; None where they can.

    Raises `ModelError` where some are missing or have another shape: those would be random.
    """
    layout = offloaded.layout
    missing = [name for name in sorted(set(offloaded.paths.values())) if offloaded.group(name) is None]
    if missing and layout.by_weight:
        raise ModelError(
            f"{offloaded.source.folder}: the base lacks {len(missing)} of its weights, such as {missing[0]}, and they "
            "would get random values; restore the files of the model."
        )
    for name, group in layout.by_weight.items():
        if group.shapes[name] != layout.shapes[name] and group.plain is None:
            raise ModelError(
                f"{offloaded.source.folder}: {len(group.stored)} tensors, such as {next(iter(group.stored))}, make a "
                f"{name} of the shape {group.shapes[name]}, but config.json says {layout.shapes[name]}; restore the "
                "files."
            )
    if missing:
        return f"none of its tensors has the name of a weight of its model (such as {missing[0]})"
    fixed = next((group for group in layout.groups if not group.reversible()), None)
    return f"transformers cannot convert {fixed.conversion.first} back to the format of its files" if fixed else None


def plan(offloaded: OffloadedModel, dtype: torch.dtype | None) -> Files:
    """Every tensor of the merged model, in files named as the base's; floating ones as `dtype`, None: as stored.

    Where an adapter changes only one of two weights that were tied, both are written and the configuration says so.
    """
    tuned, layout = offloaded.tuned_paths(), offloaded.layout
    users: dict[str, list[str]] = {}
    for path, name in offloaded.paths.items():
        users.setdefault(name, []).append(path)
    files: Files = {}

    def add(near: StoredTensor, name: str, planned: PlannedTensor) -> None:
        files.setdefault(near.file.name, {})[name] = planned

    for name, own in users.items():
        stored = offloaded.group(name)
        if stored is None:
            raise ModelError(f"the base lacks the tensor {name}; restore the files of the model.")
        tensor = stored[0].plain
        if tensor is None:
            continue
        shares = sorted(set(own) & tuned)
        apart = len(own) > 1 and bool(shares) and not _same(offloaded, own)
        kept = [path for path in own if path in layout.by_weight]
        for path in own if apart else kept:
            group = layout.by_weight.get(path)
            written = next(iter(group.stored)) if group else layout.stored_name(path)
            stored_tensor = group.plain if group and group.plain else tensor
            kind, shape = _written_type(stored_tensor, dtype), offloaded.shapes[name]
            streamed = None if shares or stored_tensor.shape != shape else offloaded.source.pieces(name, tensor, kind)
            copied = not shares and not offloaded.source.alters(name) and kind == stored_tensor.dtype
            make = (
                stored_tensor
                if copied and stored_tensor.shape == shape
                else streamed or partial(_made, offloaded, path if apart else (shares or own)[0], kind)
            )
            add(stored_tensor, written, PlannedTensor(kind, shape, make))
        if apart:
            offloaded.config.get_text_config().tie_word_embeddings = False
            offloaded.config.tie_word_embeddings = False
    for group in layout.groups:
        if group.plain is None and any(_changes(offloaded, name, users, tuned) for name in group.shapes):
            together = Together(offloaded, group, dtype)
            for name, tensor in group.stored.items():
                add(
                    tensor,
                    name,
                    PlannedTensor(_written_type(tensor, dtype), tensor.shape, partial(together.take, name)),
                )
    planned = {name for tensors in files.values() for name in tensors}
    for name, tensor in offloaded.source.tensors.items():
        if name not in planned:
            kind = _written_type(tensor, dtype)
            make = tensor if kind == tensor.dtype else partial(_stored, tensor, kind)
            add(tensor, name, PlannedTensor(kind, tensor.shape, make))
    return dict(sorted(files.items()))


class Together:
    """Tensors of the files that come of one merge, such as the experts of a layer: made when the first one's turn
    comes, and each let go when it is taken."""

    def __init__(self, offloaded: OffloadedModel, group: Group, dtype: torch.dtype | None) -> None:
        self.offloaded, self.group, self.dtype = offloaded, group, dtype
        self.lock = Lock()
        self.waiting: dict[str, torch.Tensor] = {}

    def take(self, name: str) -> torch.Tensor:
        """The tensor called `name` in the files."""
        with self.lock:
            if name not in self.waiting:
                self.waiting = self._make()
            return self.waiting.pop(name)

    def _make(self) -> dict[str, torch.Tensor]:
        kinds = {name: _written_type(tensor, self.dtype) for name, tensor in self.group.stored.items()}
        common = next(iter(kinds.values())) if len(set(kinds.values())) == 1 else torch.float32
        merged = {name: self.offloaded.merged(name).to(common) for name in self.group.shapes}
        return {name: tensor.to(kinds[name]) for name, tensor in self.group.stored_again(merged).items()}


def unread(offloaded: OffloadedModel) -> list[str]:
    """Names of what the base stores and its model does not read, such as layers that predict further tokens.

    They are copied as they are: what the base has, the merged model has.
    """
    return offloaded.layout.unread


def _changes(offloaded: OffloadedModel, name: str, users: dict[str, list[str]], tuned: set[str]) -> bool:
    return bool(tuned & set(users.get(name, [name]))) or offloaded.source.alters(name)


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
