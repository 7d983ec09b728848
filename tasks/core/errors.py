"""Everything temper raises on purpose. Each message says what is wrong, where, and what to do next.

TemperError
├── SettingsError     params.yaml: unknown key, wrong type, value out of range
├── InputError        a file or row that a stage cannot use
├── LossError         rows or tokens left beyond the configured limit
├── ModelError        a base model, adapter or export that does not fit
├── CheckFailed       a result that is not what it must be (supervision, equivalence, first step)
├── MachineError      the machine: disk, memory, git, dvc, versions
├── Unavailable       something outside does not answer now: a teacher, a hub, a network; worth another try
├── StageFailed       a stage's command ended with an error that nobody foresaw
├── InputChanged      an input was edited while its stage ran
└── Busy              somebody else runs in this checkout

An error crosses the border of a process as JSON: `as_json` there, `from_json` here.
"""

import errno
import os
from collections.abc import Mapping
from typing import Any

AGAIN = 75
"""Exit code of a stage that may succeed when tried again (EX_TEMPFAIL of sysexits.h)."""


class TemperError(Exception):
    """Base of all errors that users are meant to read; the message is one clear sentence or a list of them."""


class SettingsError(TemperError):
    """params.yaml: unknown key, wrong type, value out of range."""


class InputError(TemperError):
    """A file or row that a stage cannot use."""


class LossError(TemperError):
    """More rows or tokens would be lost than the settings allow."""


class ModelError(TemperError):
    """A base model, tokenizer, adapter or export that does not fit."""


class CheckFailed(TemperError):
    """A result is not what it must be: supervision, first step, equivalence."""


class MachineError(TemperError):
    """The machine lacks something: disk, memory, git, dvc, the locked versions."""


class Unavailable(TemperError):
    """Something outside does not answer now; another try may succeed. A stage that ends by it has exit code `AGAIN`."""


class StageFailed(TemperError):
    """A stage's command ended with an error that nobody foresaw, or without saying why."""


class InputChanged(TemperError):
    """A dependency was edited while the stage ran: what it made belongs to neither version."""


class Busy(TemperError):
    """Somebody else runs in this checkout; the message names them."""


_KINDS: list[type[TemperError]] = [TemperError]
_KINDS.extend(TemperError.__subclasses__())

TREE: dict[str, type[TemperError]] = {kind.__name__: kind for kind in _KINDS}
"""The classes above, by name."""


PANIC = "PanicException"
"""What a library written in Rust raises where it would end the process; no `Exception`, and in no module."""


def is_fault(error: BaseException) -> bool:
    """Whether `error` says that something went wrong, rather than that the process shall end."""
    return isinstance(error, Exception) or type(error).__name__ == PANIC


def as_json(error: TemperError) -> dict[str, str | bool]:
    """Return `class` (the nearest one of `TREE`), `sentence` (the whole text) and `again` (whether to try again)."""
    kind = next(kind for parent in type(error).__mro__ if (kind := TREE.get(parent.__name__)) is parent)
    return {"class": kind.__name__, "sentence": str(error), "again": issubclass(kind, Unavailable)}


def from_json(value: Mapping[str, Any]) -> TemperError:
    """Return the error that `as_json` described; of a class that is unknown here, as after an upgrade, the nearest."""
    kind = TREE.get(value["class"], Unavailable if value["again"] else StageFailed)
    return kind(value["sentence"])


def advice(error: OSError) -> str:
    """An error of the operating system as a sentence that says what to do."""
    what = {
        errno.ENOSPC: "the disk is full; free some space and run again: finished stages and checkpoints are kept",
        errno.EDQUOT: "the disk quota is used up; free some space and run again: finished stages are kept",
        errno.EROFS: "the file system is read-only; run in a folder that can be written",
        errno.EACCES: "permission denied; make it accessible to this user",
        errno.ENOENT: "no such file; run the stages before this one first",
    }.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))
    return f"{error.filename}: {what}." if error.filename else f"{what}."


def hub_faults() -> tuple[type[Exception], ...]:
    """What the hub's library raises where nobody answers or it refuses: the system's errors, its HTTP client's."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"))


def hub_reason(error: Exception) -> str:
    """Why the hub does not give something, as a person says it: part of a sentence.

    `error`: of `hub_faults()`, as `huggingface_hub` raises it from a download or a question.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
    match cause:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set"
        case GatedRepoError():
            return "it is gated: request access on its page, and set HF_TOKEN"
        case RepositoryNotFoundError():
            return "the hub has no such repository, or you may not read it"
        case RevisionNotFoundError():
            return "the hub has no such revision"
        case HfHubHTTPError():
            return f"the hub answers {_first_line(cause)}"
        case _ if isinstance(cause, hub_faults()):
            return f"the hub cannot be reached: {_first_line(cause)}"
    return _first_line(cause)


def _first_line(error: BaseException) -> str:
    """The first line of an error's text; those of the hub's library go on with advice to its callers."""
    lines = str(error).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else type(error).__name__
