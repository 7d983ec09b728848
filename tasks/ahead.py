"""What stages would refuse of their settings once they run, asked before any of them does: `python -m tasks.ahead`.

A stage's package may have `refuse(settings, paths)`: it raises what the stage would raise for its settings alone,
whatever its inputs are. A sentence a stage on standard output; exit code 1 where there is one.
"""

import importlib
import sys
from contextlib import redirect_stdout
from pathlib import Path

from tasks.__main__ import STAGES
from tasks.contract.errors import TemperError
from tasks.contract.paths import Paths
from tasks.contract.settings import PARAMS, load


def main() -> int:
    """Return 1 where a stage would refuse its settings."""
    told = []
    for name in STAGES:
        stage = importlib.import_module(f"tasks.{name}")
        if not hasattr(stage, "refuse"):
            continue
        try:
            with redirect_stdout(sys.stderr):  # of users' own files, which some stages load
                stage.refuse(load(stage.Settings, Path(PARAMS), name), Paths())
        except TemperError as error:
            told.append(str(error))
    for line in told:
        print(line)
    return bool(told)


if __name__ == "__main__":
    sys.exit(main())
