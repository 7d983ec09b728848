"""Settings of training by several processes: how many, where they meet, and what of the model each of them holds."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Settings as Section

Positive = Annotated[int, Field(ge=1)]

Strategy = Literal["ddp", "fsdp2", "zero2", "zero3"]
"""What is shared out: nothing but the rows (DDP); weights, gradients and optimiser states (FSDP2, ZeRO-3); gradients and
optimiser states (ZeRO-2, Rajbhandari et al. 2020, arXiv:1910.02054)."""


class Launch(Section):
    """Processes that train together, started by torchrun."""

    processes: Positive = 1
    """Processes a host, one a GPU, or on the CPU with `threads` each. `batch_size` is that of each process, so the
    effective batch is so many times as large."""
    nodes: Positive = 1
    """Hosts that train together, each with as many processes."""
    rendezvous: str | None = None
    """Where the hosts meet, as HOST:PORT of the first one. null: on one host a free port; on several what SLURM or
    torchrun's own variables in the environment name."""
    strategy: Strategy = "ddp"
    """What each process holds: ddp: the whole model; fsdp2, zero3: its share of weights, gradients and optimiser states;
    zero2: the whole weights, its share of the rest."""
    offload: bool = False
    """Whether weights and optimiser states that are not at work wait in the host's memory instead of the card's."""
    tensor_parallel: Positive = 1
    """Processes among which each matrix is divided."""
    context_parallel: Positive = 1
    """Processes among which the tokens of a row are divided."""

    @property
    def world(self) -> int:
        """Processes over all hosts."""
        return self.processes * self.nodes
