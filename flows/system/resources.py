"""What this machine has: cores, free memory, a graphics card."""

import os
from pathlib import Path

MEMORY = 3 * 2**30
"""Bytes of free memory to count on for each stage that works beside others."""


def at_once() -> int:
    """Stages that may work at once: one on a graphics card, whose memory they share; else by cores and free memory."""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return 1
    return max(1, min(cores(), available_memory() // MEMORY))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that new processes can use."""
    import psutil

    return int(psutil.virtual_memory().available)
