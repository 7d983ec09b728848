"""What the merged folder will hold: for each tensor its file, type and shape, and how its bytes come about."""

from functools import partial

import torch

from tasks.core.errors import ModelError
from tasks.merge.layers import Skeleton
from tasks.merge.lora import plain_lora
from tasks.models.private_transformers import renames_weights
from tasks.models.writing import Planned

Files = dict[str, dict[str, Planned]]


def misfit(skeleton: Skeleton) -> str | None:
    """Why the base's tensors are not, name by name, the weights of its model; None where they are.

    Raises `ModelError` where they are but for some that are missing: those would be made up at random.
    """
    paths = skeleton.paths
    missing = [name for name in sorted(set(paths.values())) if skeleton.stored_name(name) is None]
    if not missing:
        return None
    known = set(skeleton.source.tensors) & set(paths)
    if known and not renames_weights(skeleton.config.model_type):
        raise ModelError(
            f"the base lacks {len(missing)} of its weights, such as {missing[0]}; they would be made up at random: "
            "restore the files of the model."
        )
    return f"the base stores its weights under other names than its model has (such as {missing[0]})"


def plan(skeleton: Skeleton, dtype: torch.dtype | None) -> Files:
    """Every tensor of the merged model, in files named as the base's; floating ones as `dtype`, None: as stored.

    Where an adapter changes only one of two weights that were tied, both are written and the configuration says so.
    """
    source, paths = skeleton.source, skeleton.paths
    tuned = skeleton.tuned_paths()
    users: dict[str, list[str]] = {}
    for path, name in paths.items():
        users.setdefault(name, []).append(path)
    files: Files = {}
    for name, own in users.items():
        stored_name = skeleton.stored_name(name)
        if stored_name is None:
            raise ModelError(f"the base lacks the tensor {name}; restore the files of the model.")
        place = source.tensors[stored_name]
        kind = dtype if dtype is not None and place.dtype.is_floating_point else place.dtype
        shares = sorted(set(own) & tuned)
        apart = len(own) > 1 and bool(shares) and not _same(skeleton, own)
        for path in own if apart else [own[0]]:
            written = path if apart else name
            shape = skeleton.shapes[name]
            copied = not shares and not source.alters(stored_name) and kind == place.dtype and place.shape == shape
            make = place if copied else partial(_made, skeleton, path if apart else (shares or own)[0], kind)
            files.setdefault(place.file.name, {})[written] = Planned(kind, shape, make)
        if apart:
            skeleton.config.get_text_config().tie_word_embeddings = False
            skeleton.config.tie_word_embeddings = False
    return dict(sorted(files.items()))


def _same(skeleton: Skeleton, paths: list[str]) -> bool:
    first, *others = (skeleton.merged(path) for path in paths)
    return all(torch.equal(first, other) for other in others)


def _made(skeleton: Skeleton, path: str, dtype: torch.dtype) -> torch.Tensor:
    plain = plain_lora(skeleton, path)
    return plain.merged(dtype) if plain else skeleton.merged(path).to(dtype)
