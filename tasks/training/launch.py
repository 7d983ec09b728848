"""Settings of training by several processes: how many, where they meet, and what of the model each of them holds."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section

Positive = Annotated[int, Field(ge=1)]

Strategy = Literal["ddp", "fsdp2", "zero2", "zero3"]
"""What is shared out: nothing but the rows (DDP); weights, gradients and optimiser states (FSDP2, ZeRO-3); gradients
and optimiser states (ZeRO-2, Rajbhandari et al. 2020, arXiv:1910.02054)."""

UNTRIED: Mapping[str, str] = {
    "tensor_parallel": "accelerate 1.15 does not split matrices among processes on a CPU",
    "context_parallel": "accelerate 1.15 does not split a row's tokens among processes on a CPU",
}
"""Keys that others have and nobody could try here, and why; temper offers nothing untested."""


class Launch(Section):
    """Processes that train together, started by torchrun's agent."""

    retired: ClassVar = dict.fromkeys(UNTRIED, (1,))

    processes: Positive = 1
    """Training processes per host: one per GPU, or on a CPU with `threads` threads each. `batch_size` applies to each
    process, so the effective batch is `processes` times `nodes` times as large."""
    nodes: Positive = 1
    """Hosts that train together, with the same number of processes and the same project folder."""
    rendezvous: Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):[0-9]{1,5}$")] | None = None
    """Address at which the hosts meet, as HOST:PORT of the first one. null: a free port on a single host; on several
    hosts, the address in SLURM's or torchrun's environment variables."""
    strategy: Strategy = "ddp"
    """What each process holds. ddp: the whole model. fsdp2 and zero3: a share of weights, gradients and optimiser
    states. zero2: all weights, and a share of gradients and optimiser states. zero2 and zero3 need the extra
    `deepspeed`."""
    offload: bool = False
    """Keep optimiser states, and for zero3 also weights, in the host's memory; for zero2 and zero3."""

    @model_validator(mode="before")
    @classmethod
    def _tried(cls, values: Any) -> Any:
        for key in UNTRIED if isinstance(values, dict) else ():
            if values.get(key, 1) != 1:
                raise ValueError(f"{key} is not offered, since it is untested: {UNTRIED[key]}; remove it")
        return values

    @model_validator(mode="after")
    def _meets(self) -> "Launch":
        if self.rendezvous and self.nodes == 1:
            raise ValueError(
                "rendezvous has no effect on a single host; set it to null, or set nodes to the number of hosts"
            )
        if self.offload and not self.strategy.startswith("zero"):
            raise ValueError(
                f"offload is for zero2 and zero3; with {self.strategy} it is untested, since there is nowhere to move "
                "weights to on a CPU; set it to false, or strategy to zero3"
            )
        if self.rendezvous and not 0 < int(self.rendezvous.rpartition(":")[2]) < 2**16:
            raise ValueError(f"rendezvous: {self.rendezvous} has no port from 1 to 65535 after the colon; correct it")
        return self

    @property
    def world(self) -> int:
        """Processes over all hosts."""
        return self.processes * self.nodes


def world(settings: Any) -> int:
    """Processes over all hosts that train by `settings`; 1 for settings that cannot name several."""
    launch = getattr(settings, "launch", None)
    return launch.world if launch else 1


def alone(launch: Launch) -> bool:
    """Whether a section is as it is without it: one process, which does not stand in the record of settings."""
    return launch == Launch()
