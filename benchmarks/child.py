"""A benchmark's measurement in a process of its own, which has loaded nothing that another one needs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.checkout import HERE, Failed
from benchmarks.result import last_line

LAST = 2000
"""Characters of what a failed process wrote last."""


def measured(module: str, *words: object, python: str | Path = sys.executable, **environment: str) -> dict[str, Any]:
    """The JSON object in the last line that `python -m MODULE WORDS` prints.

    `python` is the interpreter, for what only another environment has; `environment` comes on top of ours. Raises
    `Failed` where the process fails, and `OSError` where there is no such interpreter.
    """
    done = subprocess.run(
        [python, "-W", "ignore", "-m", module, *map(str, words)],
        cwd=HERE, env={**os.environ, "TQDM_DISABLE": "1", **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Failed(f"{' '.join([module, *map(str, words)])}: {done.stderr[-LAST:].strip()}")
    return last_line(done.stdout)
