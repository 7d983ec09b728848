"""Lines that a process prints for the one that started it, each a kind and a JSON object.

    ::progress {"what": "train", "done": 3, "total": 10, "unit": "steps", "figures": {"loss": 0.5}}
    ::note {"text": "train: resumes from step 40 of 100."}
    ::error {"class": "InputError", "sentence": "clean: rows.jsonl: no such file.", "again": false}

Who reads them asks for them by an environment variable; without it, a process speaks to a person.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from tasks.core.errors import StageFailed, TemperError, as_json, from_json

Kind = Literal["progress", "note", "error"]

ASK: dict[Kind, dict[str, str]] = {
    "progress": {"TEMPER_PROGRESS": "json"},
    "note": {"TEMPER_NOTES": "json"},
    "error": {"TEMPER_ERRORS": "json"},
}
"""What to put into the environment of a process to get its lines of a kind."""

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable with the file for the error of one of several processes (torchrun's own name and format)."""

INNER = {"TEMPER_ERRORS": "file"}
"""What to put into the environment of processes whose errors are read in `ERROR_FILE`, and printed by nobody else."""

_LINE = re.compile(r"::(progress|note|error) (\{.*\})\s*")


def asked(kind: Kind) -> bool:
    """Whether somebody reads lines of this kind."""
    return all(os.environ.get(name) == value for name, value in ASK[kind].items())


def send(kind: Kind, value: Mapping[str, Any]) -> None:
    """Print one line. JSON escapes line breaks and whatever is not ASCII, so any text arrives as it is."""
    print(f"::{kind} {json.dumps(value)}", flush=True)


def parse(line: str) -> tuple[Kind, dict[str, Any]] | None:
    """Return kind and value of a line; None where it is text, as is one that a kill cut off."""
    if not (match := _LINE.fullmatch(line)):
        return None
    try:
        value: dict[str, Any] = json.loads(match[2])
    except json.JSONDecodeError:
        return None
    return cast(Kind, match[1]), value


def write_error(error: TemperError) -> None:
    """Leave `error` where torchrun looks for it, if torchrun started this process."""
    if file := os.environ.get(ERROR_FILE):
        now = time.time()
        value = {"message": str(error), "timestamp": int(now), "time": now, **as_json(error)}
        Path(file).write_text(json.dumps(value))


def read_error(file: Path) -> tuple[float, TemperError]:
    """When `write_error` left an error in `file`, in seconds since the epoch, and the error."""
    try:
        value = json.loads(file.read_text())
        return float(value["time"]), from_json(value)
    except (OSError, ValueError, KeyError, TypeError):
        return time.time(), StageFailed("it could not say why.")
