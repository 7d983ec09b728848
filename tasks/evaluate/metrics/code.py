"""Answers that are Python code: run with their tests in a child process that can neither loop on, fork nor write.

The child (`sandbox.py`) has no environment, an empty folder, limits of time, memory and output, and a filter of system
calls that lets it compute and read Python's own files, and nothing else: no process, no network, no other file, no
signal to others. docs/security.md says what that holds against, and what not.
"""

import contextlib
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tasks.bounds.limits import narrowed
from tasks.core.errors import InputError, MachineError

SANDBOX = Path(__file__).with_name("sandbox.py")

FILES = 32
"""Files that the child may have open."""

FAILING = "raise AssertionError\n"
"""A test that nothing passes."""

BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)


def passes(output: str, reference: str, row: dict[str, Any], *, timeout: float, memory: int) -> float:
    """1 where the code in `output` and then the row's `tests` (else its reference) run to their end.

    `timeout` in seconds, `memory` in MiB. An answer that leaves early, by `exit` say, has not passed.
    """
    tests = row.get("tests") or reference
    if not isinstance(tests, str) or not tests.strip():
        raise InputError(f"evaluate: the row {row['id']} has no tests to run; give its last message a key `tests`.")
    _can_confine()
    program = f"{code(output)}\n"
    if not runs_to_end(program, f"{tests}\n", timeout=timeout, memory=memory):
        return 0.0
    # an answer runs in the process that runs its tests, and might say itself that they passed: then it says so always
    return float(not runs_to_end(program, f"{tests}\n{FAILING}", timeout=timeout, memory=memory))


def code(output: str) -> str:
    """The blocks of code in a Markdown answer, or all of it where there is none."""
    blocks = BLOCK.findall(output)
    return "\n".join(blocks) if blocks else output


def runs_to_end(program: str, tests: str, *, timeout: float, memory: int) -> bool:
    """Whether `program` and `tests` ran to their end in a confined child."""
    limits = ((resource.RLIMIT_AS, memory * 2**20), (resource.RLIMIT_CPU, max(1, round(timeout + 1))))
    most = [str(narrowed(*limit)) for limit in (*limits, (resource.RLIMIT_NOFILE, FILES))]
    token = secrets.token_hex(16)  # proof that the end was reached
    with tempfile.TemporaryDirectory(prefix="temper-code-") as folder, tempfile.TemporaryFile() as source:
        source.write(f"{token}\0{program}\0{tests}".encode(errors="replace"))
        source.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", SANDBOX, *most],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        assert child.stdout
        with child.stdout as written:
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
                child.wait()
            # no more than this is read of what may be endless; the pipe itself holds 64 KiB
            return child.returncode == 0 and written.read(len(token) + 1) == token.encode()


@cache
def _can_confine() -> None:
    """Raise `MachineError` where the child cannot be confined: code of a model never runs unconfined."""
    if not runs_to_end("", "", timeout=60, memory=512):
        raise MachineError(
            "evaluate: the metric code needs Linux 5.13 on x86-64 or ARM64 with seccomp and Landlock, to run answers "
            "in a sandbox; remove the metric from evaluate.metrics, or run elsewhere."
        )
