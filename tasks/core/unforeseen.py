"""An error that nobody foresaw as a sentence: stage, library, the likely setting, and where the traceback is."""

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.core.errors import advice
from tasks.core.files import write_text
from tasks.core.paths import PATHS

RANK = "RANK"
"""Environment variable with the number of a process, from 0; set where there are several (torch's own name)."""

LONGEST = 400
"""Characters of a library's message in the sentence; the file has all of them."""

SHORTEST = 3
"""Characters of a value that is looked for in a message: shorter ones, such as 1, are in many by chance."""

_PACKAGES = {"site-packages", "dist-packages"}

_OWN = Path(__file__).parents[1]


def sentence(
    error: BaseException, stage: str, command: str = "", values: Callable[[], Mapping[str, Any]] = dict
) -> str:
    """Return one sentence on `error`, raised in `stage`, and keep the whole traceback in a file.

    `command` (such as "quantize nf4") names the file; `values` returns the settings of the stage, and may fail.
    """
    try:
        settings = values()
    except Exception:  # they may be what is wrong
        settings = {}
    message = " ".join(str(error).split()).rstrip(".")
    key = setting(message, settings)
    fault = f"the setting most likely at fault is {stage}.{key}" if key else f"check {stage} in {PATHS.params}"
    shown = message if len(message) <= LONGEST else f"{message[:LONGEST]}..."
    what = f"{type(error).__name__}: {shown}" if shown else type(error).__name__
    return f"{stage}: {library(error)} raised {what}; {fault}; {_kept(error, command or stage)}."


def library(error: BaseException) -> str:
    """Return the package that `error` comes from: of the innermost frame in site-packages, else of its class.

    Frames of the standard library say nothing. Where temper's own frame is within the library's, temper was called
    back, and raised it.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if _OWN in file.parents:
            break
        if marks := [at for at, part in enumerate(file.parts) if part in _PACKAGES]:
            return file.parts[marks[-1] + 1].removesuffix(".py")
    package = type(error).__module__.partition(".")[0]
    own = package in sys.stdlib_module_names or package in {"tasks", "__main__"}
    return "temper itself" if own else package  # of a library written in C, which has no frames


def setting(message: str, settings: Mapping[str, Any]) -> str:
    """Return the dotted key of `settings` whose name or value is in `message`, the longest text first; "" for none."""
    hits = [(len(text), key) for key, text in _texts(settings) if _holds(message, text)]
    return max(hits, key=lambda hit: hit[0])[1] if hits else ""


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys below `value`, each with the texts that would point to it: its name, and what it is set to."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, each in inner:
        path = f"{key}.{name}" if key else str(name)
        yield path, str(name)
        yield from _texts(each, path)
    if key and isinstance(value, str | int | float) and not isinstance(value, bool):
        yield key, str(value)


def _holds(message: str, text: str) -> bool:
    if len(text) < SHORTEST:
        return False
    pattern = re.escape(text).replace("_", "[_ -]")  # a message may say "learning rate"
    return re.search(rf"(?<![\w.]){pattern}(?!\w)(?!\.\w)", message, re.IGNORECASE) is not None


def _kept(error: BaseException, command: str) -> str:
    """Where the traceback is; a disk that cannot be written must not hide the error itself."""
    name = re.sub(r"[^\w.-]+", "-", f"{command} {os.environ.get(RANK, '')}".strip())
    file = PATHS.scratch("failures") / f"{name}.txt"
    try:
        write_text(file, "".join(traceback.format_exception(error)))
    except OSError as fault:
        return f"the traceback could not be kept: {advice(fault).rstrip('.')}"
    return f"the full traceback is in {file}"
