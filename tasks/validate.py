"""What stages would refuse of their settings once they run, asked before any of them does: `python -m tasks.validate`.

An error a stage, as `tasks.core.reporting` reports it; exit code 1 where there is one.
"""

import sys
from contextlib import redirect_stdout
from pathlib import Path

from tasks.core.errors import TemperError
from tasks.core.paths import Paths
from tasks.core.reporting import explained, report
from tasks.core.settings import PARAMS, load
from tasks.stages import stages


def main() -> int:
    """Return 1 where a stage would refuse its settings."""
    faults: list[TemperError] = []
    for stage in stages():
        if stage.validate is None:
            continue
        try:
            with redirect_stdout(sys.stderr):  # of users' own files, which some stages load
                stage.validate(load(stage.settings, Path(PARAMS), stage.name), Paths())
        except Exception as error:
            faults.append(explained(error, stage.name))
    for fault in faults:
        report(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
