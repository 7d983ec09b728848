"""Numbers on a command line, refused in a sentence that names what they count."""

import argparse
from collections.abc import Callable


def whole(least: int, what: str) -> Callable[[str], int]:
    """The `type` of an option that counts `what` and is at least `least`, such as 1 and `rows`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of {what}, at least {least}")
        return int(text)

    return read
