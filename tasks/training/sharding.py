"""A model of which each process holds its share (FSDP2): how it is loaded, looked at, and saved as one folder.

transformers shards it while it reads the files, so that no process ever holds all of it
(`transformers.distributed.DistributedConfig`; torch's `fully_shard`, arXiv:2304.11277).
"""

from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.models.private_transformers import is_converted
from tasks.models.writing import PlannedTensor, order, write
from tasks.training import zero
from tasks.training.launch import Launch, world
from tasks.training.methods import METHODS

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


def mark(trainer: Any, settings: Any) -> None:
    """Tell the trainer whether it shares weights; then autocast keeps no copy of them in 16 bits.

    What it casts it keeps by default until the forward pass ends: 2 bytes for each weight of the model, on every card.
    """
    trainer.shared = shares_weights(settings)
    if trainer.shared:
        from accelerate.utils import AutocastKwargs

        trainer.accelerator.autocast_handler = AutocastKwargs(cache_enabled=False)


def check_base(what: str, settings: Any, model: Any, tokenizer: Any) -> None:
    """Raise `SettingsError` where the weights of `model` cannot be shared out as `settings` ask for it.

    Its tokenizer has tokens that it lacks; or its files have other tensors than it, such as each expert's own, and all
    of it is to be saved. `model`: the base, or its skeleton without weights, before any was shared out.
    """
    strategy = settings.launch.strategy
    rows = model.get_input_embeddings().num_embeddings
    if loading(settings) and len(tokenizer) > rows:
        raise SettingsError(
            f"{PATHS.params}: the tokenizer has {len(tokenizer)} tokens, but the base has embeddings for {rows}, and "
            f"{what}.launch.strategy {strategy} cannot add rows to sharded weights; set it to ddp, or remove the new "
            "tokens from template.new_tokens."
        )
    if strategy in ("fsdp2", "zero3") and is_converted(model):
        if METHODS[settings.method].kind is None:
            raise SettingsError(
                f"{PATHS.params}: the base's files store other tensors than the model uses, but {what}.launch.strategy "
                f"{strategy} saves a whole model weight by weight; set it to zero2 or ddp, or {what}.method to lora."
            )
        if strategy == "zero3":
            raise SettingsError(
                f"{PATHS.params}: the base stores all experts of a layer in one weight, on which adapters fail under "
                f"zero3 (peft 0.21, DeepSpeed 0.19); set {what}.launch.strategy to fsdp2."
            )


def local(value: torch.Tensor) -> torch.Tensor:
    """What this process holds of a weight."""
    if zero.is_share(value):
        share: torch.Tensor = value.ds_tensor  # type: ignore[attr-defined]
        return share
    if not _several():
        return value
    from torch.distributed.tensor import DTensor

    return value.to_local() if isinstance(value, DTensor) else value


def _several() -> bool:
    """Whether this process has met others; torch takes a second to import what they need."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def is_shared(model: Any) -> bool:
    """Whether each process holds its share of the weights of `model` only."""
    return any(local(value) is not value for value in model.parameters())


def own_weights(model: Any) -> dict[str, torch.Tensor]:
    """The weights of an adapter by name, whole; with ZeRO-3 the processes meet for them, so each calls it."""
    weights = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if (zero.is_share(value) and value.requires_grad) or local(value) is value:
            weights[name] = _Gather(value)()
    return weights


def put_back(model: Any) -> None:
    """Free the whole weights that a forward pass without a backward one has left behind; else `model` shows those."""
    if not _several():
        return
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def lowest(count: int) -> int:
    """The lowest of the counts that the processes have; each calls it."""
    if not _several():
        return count
    number = torch.tensor(count)
    if torch.cuda.is_available():
        number = number.cuda()
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MIN)
    return int(number)


def somewhere(flags: list[bool]) -> list[bool]:
    """For each flag whether it is set in any of the processes; each calls it."""
    if not _several():
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
    """Give the first process this one's share of each weight that is saved, as it asks for them."""
    if not is_shared(model):
        return
    if hasattr(model, "peft_config"):
        own_weights(model)
        return
    for tensors in _files(model).values():
        for name in order(tensors):
            make: Any = tensors[name].make
            make()


def _files(model: Any) -> dict[str, dict[str, PlannedTensor]]:
    """The weights by file and name, none twice where two layers share one."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    states = model.state_dict(keep_vars=True)  # ZeRO-3 knows its shares by the parameters themselves
    weights = {name: value for name, value in states.items() if name not in tied}
    files: list[dict[str, PlannedTensor]] = [{}]
    size = 0
    for name, value in weights.items():
        planned = PlannedTensor(value.dtype, tuple(getattr(value, "ds_shape", value.shape)), _Gather(value))
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
        self.value = value if zero.is_share(value) else value.detach()

    def __call__(self) -> torch.Tensor:
        if zero.is_share(self.value):
            with zero.gathered(self.value) as all_of_it:
                copied: torch.Tensor = all_of_it.detach().cpu().clone()
            return copied
        shown: Any = self.value
        whole: torch.Tensor = shown if local(shown) is shown else shown.full_tensor()
        return whole.cpu()
