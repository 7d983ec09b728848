"""A piece of work in a process of its own: what it loads, and what it breaks, stays there.

    tensors = apart("gguf-q8_0", work, first, second)

llama.cpp ends its process where a file is not as it expects, and its converter brings a `gguf` of its own.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from tasks.core.errors import CheckFailed, TemperError
from tasks.models import reload

T = TypeVar("T")

LAST = 300
"""Characters of what the process wrote last that its error repeats."""


def apart(what: str, work: Callable[..., T], *arguments: Any) -> T:
    """`work(*arguments)`, computed by another process. Its `TemperError` is raised here.

    Raises `CheckFailed`, which begins with `what`, where the work fails in another way or the process dies.
    """
    context: Any = multiprocessing.get_context(reload.METHOD)
    context.set_forkserver_preload(reload.LIBRARIES)
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        process = context.Process(target=_run, args=(sender, log, work, arguments), daemon=True)
        process.start()
        sender.close()
        try:
            value, error = receiver.recv()
        except (EOFError, ConnectionError):
            process.join()
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            faults = [line for line in lines if "ASSERT" in line or "error" in line.lower()]
            reason = [*faults[:1], *lines[-1:], "it printed nothing"][0]
            raise CheckFailed(
                f"{what}: the process ended with exit code {process.exitcode} ({reason[:LAST]})."
            ) from None
        finally:
            receiver.close()
        process.join()
    if isinstance(error, TemperError):
        raise error
    if error:
        raise CheckFailed(f"{what}: {error}")
    result: T = value
    return result


def _run(sender: Connection, log: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """In the process: send the result or the error; what libraries print goes into `log`."""
    import torch

    torch.set_num_threads(1)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    try:
        sender.send((work(*arguments), None))
    except TemperError as error:
        sender.send((None, error))
    except Exception as error:
        sender.send((None, f"{type(error).__name__}: {' '.join(str(error).split())[:LAST]}"))
