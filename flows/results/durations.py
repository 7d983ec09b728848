"""How long stages took, kept for `temper compare`: on this machine by what they left, and in an experiment's message.

No output holds it, for seconds differ from run to run.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.bridge import Outcome
from tasks.core.paths import PATHS, Paths

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A stage, and path and hash of each thing that it left."""

TRAILER = "Took"
"""The line of a commit's message that has them."""


def ran(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """Seconds of the stages that ran."""
    return {name: round(outcome.seconds, 1) for name, outcome in outcomes.items() if outcome.how == "ran"}


def keep(folder: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Add what ran to the record of the project in `folder`; runs at the same time may do so too."""
    lines = [
        json.dumps({"stage": name, "outs": dict(outcomes[name].outs), "seconds": seconds})
        for name, seconds in ran(outcomes).items()
    ]
    file = Paths(folder).durations
    if lines and file.parent.is_dir():
        with file.open("a", encoding="utf-8") as record:
            record.write("\n".join([*lines, ""]))


def trailer(outcomes: Mapping[str, Outcome]) -> str:
    """The line for the message of an experiment's commit."""
    return f"{TRAILER}: {json.dumps(ran(outcomes))}"


def in_trailer(text: str) -> dict[str, float]:
    """Seconds by stage, as `trailer` wrote them; nothing where a message says something else."""
    value = _json(text)
    return {str(stage): float(seconds) for stage, seconds in value.items() if _seconds(seconds)}


def kept() -> dict[Key, float]:
    """Seconds by stage and what it left, of runs on this machine."""
    known: dict[Key, float] = {}
    if PATHS.durations.is_file():
        for line in PATHS.durations.read_text(encoding="utf-8", errors="replace").splitlines():
            entry = _json(line)  # nothing of a line that a kill cut off
            if isinstance(outs := entry.get("outs"), dict) and _seconds(entry.get("seconds")):
                known[key(str(entry.get("stage")), outs)] = float(entry["seconds"])
    return known


def key(stage: str, outs: Mapping[str, str]) -> Key:
    """What says that a stage has made these outputs, whichever run it was in."""
    return stage, tuple(sorted((str(path), str(md5)) for path, md5 in outs.items()))


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
