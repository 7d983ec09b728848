"""What a user wrote is called within limits, and whatever it raises is one line; Ctrl-C passes."""

import asyncio
import time

import pytest

from tasks.align.users_code import Late, Raised, users_code


class Odd(BaseException):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("a\nb"), r"KeyError: 'a\\nb'"),
        (ValueError("a\n b"), "ValueError: a b"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError"),
        (Odd(), "Odd"),
        (TypeError(f"no {object()}"), "TypeError: no <object object>"),
        (ValueError("x" * 1000), f"ValueError: {'x' * 288}"),
    ],
)
def test_whatever_is_raised_is_a_line(error: BaseException, line: str) -> None:
    with pytest.raises(Raised, match=f"^{line}$"), users_code():
        raise error


def test_ctrl_c_is_nobodys_fault() -> None:
    with pytest.raises(KeyboardInterrupt), users_code(5.0):
        raise KeyboardInterrupt


def test_what_takes_too_long_is_late() -> None:
    with pytest.raises(Late, match=r"^it takes more than 0\.05 seconds$"), users_code(0.05):
        time.sleep(30)
