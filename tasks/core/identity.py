"""Which process something belongs to, in a form that can stand in a file's name, and whether that process still lives.

A process number alone says nothing: the system gives it to another process later. With the tick at which the process
started (counted from the boot, so that setting the clock does not move it) and the boot, it is unique on one machine.
"""

import os
import socket
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Linux: a random number of the running kernel, the same in all of its containers."""


class Identity(NamedTuple):
    """One process among those of all machines and all boots."""

    pid: int
    start: int
    """Clock ticks from the boot to the start of the process; elsewhere than on Linux seconds since 1970."""
    host: str
    """Six hexadecimal digits of the hash of the host's name."""
    boot: str
    """Eight hexadecimal digits of the boot."""
    namespace: str
    """Where `pid` is counted: containers on one machine count each for itself."""

    def __str__(self) -> str:
        return "-".join(map(str, self))

    def dead(self) -> bool:
        """Whether it is certain that the process has ended; of another host or container nothing is certain.

        Example:

            Identity.parse(folder.name).dead()
        """
        here = current()
        if self.boot != here.boot:
            return self.host == here.host
        return self.namespace == here.namespace and started(self.pid) != self.start

    def same_kernel(self) -> bool:
        """Whether the process runs, or ran, on the kernel that runs here: its locks are seen here."""
        return self.boot == current().boot

    @classmethod
    def parse(cls, text: str) -> "Identity | None":
        """The identity that `str` wrote; None where `text` is something else."""
        pid, _, rest = text.partition("-")
        start, _, rest = rest.partition("-")
        words = rest.split("-")
        if not (pid.isdecimal() and start.isdecimal() and len(words) == 3 and all(words)):
            return None
        return cls(int(pid), int(start), *words)


def current() -> Identity:
    """The identity of this process."""
    pid, linux = os.getpid(), sys.platform == "linux"
    host = sha256(socket.gethostname().encode()).hexdigest()[:6]
    boot = BOOT.read_text().replace("-", "")[:8] if linux else "0"
    namespace = str(Path("/proc/self/ns/pid").stat().st_ino) if linux else "0"
    return Identity(pid, started(pid) or 0, host, boot, namespace)


def started(pid: int) -> int | None:
    """When the process with this number started, as in `Identity.start`; None where none lives."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # a name may hold spaces
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in {"Z", "X"} else int(fields[19])
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time())
    except psutil.NoSuchProcess:
        return None
