"""Whether the engine that params.yaml asks for can be had, asked before any stage runs."""

import socket
from collections.abc import Iterator
from importlib.util import find_spec

from tasks.engine.settings import Machine

PATIENCE = 5.0
"""Seconds that the cluster may take to accept a connection."""


def faults(machine: Machine) -> Iterator[str]:
    """A sentence for each thing that stands in the engine's way."""
    if machine.engine == "local":
        return
    if find_spec("ray") is None:
        yield "machine.engine: Ray is not installed; run: pip install 'temper[ray]', or set machine.engine=local."
    elif machine.address is not None:
        yield from _unreachable(machine.address)


def _unreachable(address: str) -> Iterator[str]:
    host, _, port = address.rpartition(":")
    if int(port) not in range(1, 2**16):
        yield f"machine.address = {address}: the port is a number from 1 to 65535."
        return
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        yield (
            f"machine.address = {address}: no Ray cluster answers there ({reason[0].lower()}{reason[1:]}); start its "
            "head with `ray start --head`, correct the address, or set machine.engine=local."
        )
