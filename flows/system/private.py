"""Folders and files of this user alone: nobody else can read, replace or fill them."""

import os
import stat
from pathlib import Path

from tasks.core.errors import MachineError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def private_folder(folder: Path) -> Path:
    """Make `folder` where it is missing, for this user only (mode 0700), and return it.

    Raises `MachineError` where it is another user's or a link, others can write in it, or it cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise MachineError(f"{folder} cannot be created ({os.strerror(error.errno or 0)}); you must own it.") from None
    if fault := _fault(status, WRITABLE):
        raise MachineError(f"{folder} {fault}; remove it, or move it away: temper will create a new one.")
    if stat.S_IMODE(status.st_mode) & OTHERS:
        folder.chmod(0o700)  # ours, and nobody wrote in it: no more is needed
    return folder


def private_text(file: Path) -> str:
    """What stands in `file`, stripped; "" where there is none.

    Raises `MachineError` where it is another user's or a link, or others can read it.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise MachineError(f"{file} cannot be read ({os.strerror(error.errno or 0)}); remove it.") from None
    with os.fdopen(handle, encoding="utf-8") as text:
        if fault := _fault(os.fstat(handle), OTHERS):
            raise MachineError(f"{file} {fault}; remove it, and start the server again.")
        return text.read().strip()


def write_private_text(file: Path, text: str) -> str:
    """Write `text` to `file`, which only this user can read, unless it is there; return what stands in it then."""
    private_folder(file.parent)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as new:
            new.write(f"{text}\n")
        os.link(aside, file)  # fails where it is there: who comes second takes the first one's
    except FileExistsError:
        pass
    finally:
        aside.unlink(missing_ok=True)
    return private_text(file)


def _fault(status: os.stat_result, refused: int) -> str:
    """What is wrong with the owner, the kind or the mode (of which no bit of `refused` may be set), "" for nothing."""
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if status.st_uid != os.getuid():
        return f"belongs to another user (number {status.st_uid})"
    if stat.S_IMODE(status.st_mode) & refused:
        return (
            f"can be {'written' if refused == WRITABLE else 'read'} by others (mode {stat.S_IMODE(status.st_mode):o})"
        )
    return ""
