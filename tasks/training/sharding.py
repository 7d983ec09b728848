"""A model of which each process holds its share (FSDP2): how it is loaded, looked at, and saved as one folder.

transformers shards it while it reads the files, so that no process ever holds all of it
(`transformers.distributed.DistributedConfig`; torch's `fully_shard`, arXiv:2304.11277).
"""

from pathlib import Path
from typing import Any

import torch

from tasks.models.writing import PlannedTensor, order, write
from tasks.training.launch import Launch, world

LARGEST = 50 * 10**9
"""Bytes of a file of weights, as transformers has it."""


def shares_weights(settings: Any) -> bool:
    """Whether each process shall hold its share of the weights by FSDP2; with one process that is all of them."""
    launch: Launch | None = getattr(settings, "launch", None)
    return launch is not None and launch.strategy == "fsdp2"


def loading(settings: Any) -> dict[str, Any]:
    """What `from_pretrained` needs to read this process's share of each weight only."""
    if not shares_weights(settings) or world(settings) == 1:
        return {}
    from transformers.distributed import DistributedConfig

    return {"distributed_config": DistributedConfig(fsdp_size=world(settings))}


def local(value: torch.Tensor) -> torch.Tensor:
    """What this process holds of a weight."""
    if not torch.distributed.is_available():
        return value
    from torch.distributed.tensor import DTensor

    return value.to_local() if isinstance(value, DTensor) else value


def is_shared(model: Any) -> bool:
    """Whether each process holds its share of the weights of `model` only."""
    return any(local(value) is not value for value in model.parameters())


def own_weights(model: Any) -> dict[str, torch.Tensor]:
    """The weights that each process holds whole, such as an adapter's, by name."""
    return {name: value for name, value in model.state_dict().items() if local(value) is value}


def put_back(model: Any) -> None:
    """Free the whole weights that a forward pass without a backward one has left behind; else `model` shows those."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def lowest(count: int) -> int:
    """The lowest of the counts that the processes have; each calls it."""
    if not torch.distributed.is_initialized():
        return count
    number = torch.tensor(count)
    if torch.cuda.is_available():
        number = number.cuda()
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MIN)
    return int(number)


def somewhere(flags: list[bool]) -> list[bool]:
    """For each flag whether it is set in any of the processes; each calls it."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return flags
    numbers = torch.tensor(flags, dtype=torch.int32)
    if torch.cuda.is_available():
        numbers = numbers.cuda()
    torch.distributed.all_reduce(numbers, torch.distributed.ReduceOp.MAX)
    return [bool(number) for number in numbers.tolist()]


def save_weights(model: Any, out: Path) -> None:
    """Write the weights of `model` into the folder `out`, one after the other; the others call `send_weights`.

    This process holds one whole weight at a time.
    """
    write(out, _files(model), workers=1)  # the processes meet at each weight, in the same order


def send_weights(model: Any) -> None:
    """Give the first process this one's share of each weight, as `save_weights` asks for them."""
    for tensors in _files(model).values():
        for name in order(tensors):
            make: Any = tensors[name].make
            make()


def _files(model: Any) -> dict[str, dict[str, PlannedTensor]]:
    """The weights by file and name, none twice where two layers share one."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    weights = {name: value for name, value in model.state_dict().items() if name not in tied}
    files: list[dict[str, PlannedTensor]] = [{}]
    size = 0
    for name, value in weights.items():
        planned = PlannedTensor(value.dtype, tuple(value.shape), _Gather(value))
        if files[-1] and size + planned.size > LARGEST:
            files.append({})
            size = 0
        files[-1][name] = planned
        size += planned.size
    if len(files) == 1:
        return {"model.safetensors": files[0]}
    return {f"model-{number:05}-of-{len(files):05}.safetensors": each for number, each in enumerate(files, 1)}


class _Gather:
    """Makes a whole weight of the shares."""

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value.detach()

    def __call__(self) -> torch.Tensor:
        from torch.distributed.tensor import DTensor

        whole = self.value.full_tensor() if isinstance(self.value, DTensor) else self.value
        return whole.cpu()
