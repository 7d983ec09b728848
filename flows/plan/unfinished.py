"""Trainings that ended before their result was complete: where the next run begins, and where the last result is."""

import json
from collections.abc import Iterator
from pathlib import Path

from flows.bridge import LOCK, held, scan
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.training.checkpoints import INPUTS, MANIFEST


def unfinished() -> Iterator[str]:
    """A sentence or two for each training stage of this checkout that was begun, and whose output is not there.

    While a stage trains, it is such a one.
    """
    for stage, output in (("train", PATHS.fitted), ("align", PATHS.aligned)):
        begun = sorted(PATHS.checkpoints.glob(f"{stage}-*/{INPUTS}"), key=lambda file: file.stat().st_mtime)
        if begun and not output.exists():
            yield f"{stage}: {_start(stage, begun[-1])}{_last_result(stage, output)}"


def _start(stage: str, inputs: Path) -> str:
    """Where the next run begins, by the complete checkpoints beside `inputs`."""
    steps = [
        int(manifest.parent.name.rpartition("-")[2]) for manifest in inputs.parent.glob(f"checkpoint-*/{MANIFEST}")
    ]
    if steps:
        return f"the next run resumes from step {max(steps):,}."
    every = json.loads(inputs.read_text())["inputs"]["settings"]["checkpoint_steps"]
    return (
        f"there is no checkpoint yet, so the next run starts at step 1; {stage}.checkpoint_steps has one written every "
        f"{counted(every, 'steps')}."
    )


def _last_result(stage: str, output: Path) -> str:
    """How to get back what the stage last finished; "" where DVC's cache lacks it."""
    lock = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
    md5 = scan(lock).get(stage, {}).get(str(output))
    if md5 is None or not held([md5]):
        return ""
    return f" The model that was in {output} is in DVC's cache; to get it back: dvc checkout {output}"
