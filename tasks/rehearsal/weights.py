"""Whether the files of a base hold the weights of its model, by their names and shapes alone; none is read."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.models.classes import auto_class, from_pretrained
from tasks.models.shards import stored_tensors
from tasks.rehearsal.kind import ADVICE


def full_size(folder: Path, config: Any, location: str) -> Any:
    """The model in `folder` in its full shape without a weight in memory (torch's meta device).

    Raises `ModelError` where its files lack a weight, or hold one of another shape.
    """
    if not any(folder.glob("*.safetensors")):  # on the hub, and not downloaded yet
        return _built(lambda: _from_configuration(config), location)
    stored_tensors(folder)  # says which file is cut off, or missing
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # of what is said below in one sentence
    try:
        options = {"device_map": "meta", "output_loading_info": True, "ignore_mismatched_sizes": True}
        model, report = _built(lambda: from_pretrained(folder, **options), location)
    finally:
        logger.setLevel(level)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{location}: {len(missing)} weights are missing, such as {missing[0]}; they would be random: "
            "restore the files of the model."
        )
    if other := sorted(report["mismatched_keys"]):
        name, stored, expected = other[0]
        raise ModelError(
            f"{location}: the weight {name} has the shape {tuple(stored)}, and config.json asks for {tuple(expected)}; "
            "restore the configuration that belongs to the weights."
        )
    return model


def _from_configuration(config: Any) -> Any:
    import torch

    with torch.device("meta"):
        return auto_class(config).from_config(config, trust_remote_code=False)


def _built(build: Callable[[], Any], location: str) -> Any:
    try:
        return build()
    except Exception as error:  # classes of models raise anything: a package that they need, a size that is missing
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ModelError(
            f"{location}: transformers cannot build its model ({type(error).__name__}: {reason}); {ADVICE}."
        ) from None
