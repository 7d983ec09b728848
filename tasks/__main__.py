"""Run one stage: `python -m tasks STAGE [ITEM]`, from the project root.

The same command serves `dvc repro` and the flow. It fixes what would make two runs differ (hash seed, threads,
cuBLAS workspace), ends with its parent, loads the stage's section of params.yaml, and runs the stage.
An error is one sentence, on standard error for a person, as a line of `tasks.core.protocol` for the flow; exit code 1,
or 75 where another try may succeed.
"""

import ctypes
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tasks.core.fixed import FIXED
from tasks.core.imports import without_torch
from tasks.core.library_warnings import tell_warnings
from tasks.stages import names, stage

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the stage named by `arguments`; return the exit code."""
    name, *item = arguments or [""]
    if name not in names():
        print(f"usage: python -m tasks STAGE, with STAGE one of {', '.join(names())}", file=sys.stderr)
        return 1
    if any(os.environ.get(name) != value for name, value in FIXED.items()):
        os.environ.update(FIXED)
        os.execv(sys.executable, [sys.executable, "-m", "tasks", *arguments])  # the hash seed is read at start only
    _end_with_parent()
    tell_warnings()
    # not twice, before and after the new start
    import tasks.core.spared  # noqa: F401  # before any heavy import
    from tasks.core.paths import PATHS
    from tasks.core.reporting import guarded
    from tasks.core.temporary import inherited, temporary_files

    # a flow has a place for its stages; `dvc repro` has none. What cannot be written, the stage says itself
    with nullcontext() if inherited() else temporary_files(PATHS, reads=True):
        return guarded(name, lambda: _run(name, item), command=" ".join(arguments), values=lambda: _settings(name))


def _run(name: str, item: list[str]) -> None:
    from tasks.core.paths import Paths
    from tasks.core.settings import PARAMS, load

    declared = stage(name)
    if bool(item) != bool(declared.item) or len(item) > 1:
        sys.exit(f"usage: python -m tasks {name} {declared.item}".rstrip())
    if not declared.resources.torch:
        without_torch()
    declared.run(load(declared.settings, Path(PARAMS), name), Paths(), *item)


def _settings(name: str) -> dict[str, Any]:
    from tasks.core.settings import PARAMS, load

    return load(stage(name).settings, Path(PARAMS), name).model_dump(mode="json")


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, so that no orphan trains on after `kill -9` of the flow."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
