"""Where the hosts of a training meet, and which one this is: by settings, SLURM, Kubernetes or torchrun's variables.

meeting(Launch(nodes=2, processes=8), os.environ)  # under SLURM: Meeting("node01", 29517, 1)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import PATHS
from tasks.training.launch import Launch

NUMBER = ("PET_NODE_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_NODEID", "JOB_COMPLETION_INDEX")
"""Variables with the number of this host, from 0: of torchrun, of other launchers, of SLURM, of Kubernetes' jobs."""

COUNT = ("PET_NNODES", "SLURM_STEP_NUM_NODES", "SLURM_NNODES")
"""Variables with the number of hosts."""

PORT = 29500
"""torchrun's own port, where only an address is named."""


@dataclass(frozen=True)
class Meeting:
    """Where the hosts meet."""

    address: str
    port: int
    node: int
    """Number of this host, from 0; the first one keeps the meeting place."""


def meeting(launch: Launch, environment: Mapping[str, str]) -> Meeting:
    """Where the hosts of `launch` meet, for more than one.

    Raises `SettingsError` or `MachineError` where nobody says where, or which host this is, or they contradict.
    """
    key = f"{PATHS.params}: launch.nodes is {launch.nodes}"
    node = _number(NUMBER, environment)
    if node is None:
        raise MachineError(
            f"{key}, but the number of this host is unknown; set NODE_RANK to it, from 0 to {launch.nodes - 1} "
            f"(variables of SLURM and Kubernetes also work: {', '.join(NUMBER)})."
        )
    if node >= launch.nodes:
        raise MachineError(
            f"{key}, but this host has the number {node}, counting from 0; set nodes to the number of hosts."
        )
    count = _number(COUNT, environment)
    if count is not None and count != launch.nodes:
        raise MachineError(f"{key}, but the environment says {count} hosts; set nodes to {count}.")
    if int(environment.get("SLURM_LOCALID", 0)) > 0:
        raise MachineError(
            f"{key}, but srun started more than one task on this host, and each would start {launch.processes} "
            "processes; pass --ntasks-per-node=1 to srun."
        )
    address, port = _place(launch, environment)
    return Meeting(address, port, node)


def _place(launch: Launch, environment: Mapping[str, str]) -> tuple[str, int]:
    if launch.rendezvous:
        address, _, port = launch.rendezvous.rpartition(":")
        return address.strip("[]"), int(port)
    if endpoint := environment.get("PET_RDZV_ENDPOINT"):
        address, _, named = endpoint.rpartition(":")
        return (address, int(named)) if address and named.isdigit() else (endpoint, PORT)
    for prefix in ("PET_MASTER", "MASTER"):
        if address := environment.get(f"{prefix}_ADDR", ""):
            return address, int(environment.get(f"{prefix}_PORT", PORT))
    hosts = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    if hosts:
        return first_host(hosts), 20000 + int(environment.get("SLURM_JOB_ID", 0)) % 10000
    raise SettingsError(
        f"{PATHS.params}: launch.nodes is {launch.nodes}, but the address where the hosts meet is unknown; set "
        "launch.rendezvous to HOST:PORT of the first one, or MASTER_ADDR and MASTER_PORT in the environment."
    )


def first_host(hosts: str) -> str:
    """The first host of a list as SLURM writes it.

    >>> first_host("gpu[003-006,9],login1")
    'gpu003'
    """
    first = re.match(r"([^,\[]*)(?:\[([^\],-]+)[^\]]*\])?([^,\[]*)", hosts)
    return "".join(part or "" for part in first.groups()) if first else hosts


def _number(names: tuple[str, ...], environment: Mapping[str, str]) -> int | None:
    for name in names:
        if (value := environment.get(name, "")).isdigit():
            return int(value)
    return None
