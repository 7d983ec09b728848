"""A command whose reader has gone, as after `| head -1`, ends by itself and without a word."""

import os
import subprocess
import sys

import pytest

from tasks.core.output import CLOSED, piped

LONG, SHORT = "print('line\\n' * 100_000)", "print('line')"
BEGIN = "import sys; from tasks.core.output import piped; from tasks.core.reporting import guarded"


def unread(*command: str) -> tuple[int, str]:
    """Exit code and standard error of a Python whose standard output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, *command], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize("text", [LONG, SHORT])
@pytest.mark.parametrize(
    "command", ["piped(lambda: {} or 0)", "piped(lambda: sys.exit({} or 0))", "piped(lambda: guarded('x', lambda: {}))"]
)
def test_output_that_nobody_reads(text: str, command: str) -> None:
    assert unread("-c", f"{BEGIN}; sys.exit({command.format(text)})") == (CLOSED, "")


@pytest.mark.parametrize("command", [["flows.cli.main"], ["flows.cli.main", "import"], ["tasks.look"]])
def test_a_command_whose_output_nobody_reads(command: list[str]) -> None:
    assert unread("-P", "-m", *command, "--help") == (CLOSED, "")


def test_rich_stops_as_silently() -> None:
    program = f"{BEGIN}; from rich.console import Console; sys.exit(piped(lambda: Console().print('line') or 0))"
    assert unread("-c", program) == (CLOSED, "")


def test_another_pipe_is_an_error_still() -> None:
    def fail() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        piped(fail)
    assert piped(lambda: 3) == 3
