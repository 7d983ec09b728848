"""What this machine has: cores, free memory, a graphics card."""

import os
import shutil
import subprocess
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


def card_memory() -> int | None:
    """Free bytes of the graphics card that has the fewest, as NVIDIA's driver tells; None where there is no card.

    torch could tell too, but takes seconds to load, and half a GiB of the card for asking.
    """
    if (program := shutil.which("nvidia-smi")) is None:
        return None
    question = [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(question, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    free = [int(line) for line in done.stdout.split() if line.isdecimal()]
    return min(free) * 2**20 if free and not done.returncode else None


def available_memory() -> int:
    """Bytes of memory that new processes can use."""
    import psutil

    return int(psutil.virtual_memory().available)
