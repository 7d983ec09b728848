"""What stages would refuse of their settings once they run, asked before any of them does: `python -m tasks.validate`.

A sentence a stage on standard output; exit code 1 where there is one.
"""

import sys
from contextlib import redirect_stdout
from pathlib import Path

from tasks.core.errors import TemperError
from tasks.core.paths import Paths
from tasks.core.settings import PARAMS, load
from tasks.stages import stages


def main() -> int:
    """Return 1 where a stage would refuse its settings."""
    faults = []
    for stage in stages():
        if stage.validate is None:
            continue
        try:
            with redirect_stdout(sys.stderr):  # of users' own files, which some stages load
                stage.validate(load(stage.settings, Path(PARAMS), stage.name), Paths())
        except TemperError as error:
            faults.append(str(error))
    for fault in faults:
        print(fault)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
