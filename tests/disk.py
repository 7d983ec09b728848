"""A disk of one megabyte, to be filled, which is a tmpfs of one's own; and folders that can only be read."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A small file system, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.filler = path / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self.filler.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while file.write(bytes(4096)):
                pass

    def empty(self) -> None:
        """Make room again."""
        self.filler.unlink()

    def protect(self) -> None:
        """Let nothing be written any more."""
        mount("-o", "remount,ro", self.path)


@contextmanager
def small_disk(path: Path) -> Iterator[Disk]:
    """Mount it at `path`; where that is not allowed, the test is skipped."""
    path.mkdir()
    if refused := mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", path):
        pytest.skip(f"a file system of one's own cannot be mounted here: {refused}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Within the block nobody can write in `path`, not even root; where that is not allowed, the test is skipped.

    A process whose folder it is has to enter it anew: it is another file system.
    """
    if refused := mount("--bind", path, path):
        pytest.skip(f"a folder cannot be mounted here: {refused}")
    try:
        assert not mount("-o", "remount,bind,ro", path)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def mount(*arguments: "str | Path") -> str:
    """What `mount` said against it; empty where it did it."""
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False).stderr.strip()
    except OSError as error:
        return str(error)
