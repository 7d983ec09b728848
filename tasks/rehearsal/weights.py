"""Whether the files of a base hold the weights of its model, by their names and shapes alone; none is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.models.classes import auto_class, from_pretrained, unreported
from tasks.models.foreign import check_complete
from tasks.models.shards import stored_tensors
from tasks.rehearsal.kind import ADVICE


def full_size(folder: Path, config: Any, location: str, *, kind: Any = None, made_up: str | None = None) -> Any:
    """The model in `folder` in its full shape without a weight in memory (torch's meta device).

    `kind`: the Auto class that loads it; None: the one that `config` asks for. `made_up`: what names of weights begin
    with that may be missing.

    Raises `ModelError` where its files lack a weight, or hold one of another shape.
    """
    if not any(folder.glob("*.safetensors")):  # on the hub, and not downloaded yet
        return _built(lambda: _from_configuration(config, kind or auto_class(config)), location)
    stored_tensors(folder)  # says which file is cut off, or missing
    options = {"device_map": "meta", "output_loading_info": True, "ignore_mismatched_sizes": True}
    with unreported():  # what it says is said below in one sentence
        model, report = _built(lambda: from_pretrained(folder, kind=kind, **options), location)
    check_complete(
        location, sorted(name for name in report["missing_keys"] if not (made_up and name.startswith(made_up)))
    )
    if other := sorted(report["mismatched_keys"]):
        name, stored, expected = other[0]
        raise ModelError(
            f"{location}: the weight {name} has the shape {tuple(stored)}, but config.json says {tuple(expected)}; "
            "restore the configuration that belongs to the weights."
        )
    return model


def _from_configuration(config: Any, kind: Any) -> Any:
    import torch

    with torch.device("meta"):
        return kind.from_config(config, trust_remote_code=False)


def _built(build: Callable[[], Any], location: str) -> Any:
    try:
        return build()
    except Exception as error:  # classes of models raise anything: a package that they need, a size that is missing
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ModelError(
            f"{location}: transformers cannot build its model ({type(error).__name__}: {reason}); {ADVICE}."
        ) from None
