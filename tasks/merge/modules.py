"""The modules of a model with an adapter on it, as peft puts it there: which are wrapped, and what stands beneath."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import ModelError
from tasks.core.paths import PATHS
from tasks.models.foreign import foreign
from tasks.models.private_peft import parameter_wrappers, wrappers


def fitting(folder: Path) -> AbstractContextManager[None]:
    """Around what puts the adapter in `folder` on a model: raises `ModelError` for whatever peft raises there."""
    what = f"the adapter does not fit the base in {PATHS.base}"
    return foreign(folder, "restore the files of both, or train again", what)


def merges(module: Any) -> bool:
    """Whether an adapter, or a module that it saves whole, stands in the place of a layer."""
    return isinstance(module, wrappers())


def merge_layer(module: Any, path: str) -> Any:
    """Let peft merge the adapter into its layer; return the layer."""
    try:
        if hasattr(module, "unload_and_optionally_merge_module"):
            return module.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
        module.merge(safe_merge=False)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"{PATHS.fitted}: the adapter cannot be merged into {path}: {' '.join(str(error).split())[:300]} Use "
            "it as an adapter, which peft loads."
        ) from None
    return module.get_base_layer()


def tuned_parameters(module: Any) -> set[str]:
    """Names of the parameters to which adapters were put and not to their layer, such as fused experts."""
    return {inner.parameter_name for inner in parameter_wrappers(module)}


def merge_parameter(module: Any, path: str) -> None:
    """Let peft merge what it put on the parameter at `path`, and leave the adapter as it was."""
    for inner in parameter_wrappers(module):
        if inner.parameter_name == path.rpartition(".")[2]:
            inner.merge(safe_merge=False)
            inner.merged_adapters.clear()


def bare(module: Any) -> Any:
    """The layer that stands where `module` stands, without adapter."""
    if hasattr(module, "get_base_layer"):
        return module.get_base_layer()
    inner = module.token_adapter if hasattr(module, "token_adapter") else module.original_module
    return inner.get_base_layer() if hasattr(inner, "get_base_layer") else inner


def blocks(model: Any) -> Iterator[Any]:
    """The blocks of layers (members of a list of modules), and every module outside of them that has weights."""

    def visit(module: Any) -> Iterator[Any]:
        if module._parameters or merges(module):
            yield module
            return
        for child in module.children():
            if isinstance(module, torch.nn.ModuleList):
                yield child
            else:
                yield from visit(child)

    yield from visit(model)
