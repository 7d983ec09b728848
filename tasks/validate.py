"""What stages would refuse of their settings and of the base, asked before any runs: `python -m tasks.validate`.

An error a stage, as `tasks.core.reporting` reports it; exit code 1 where there is one.
"""

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

from tasks.core.errors import TemperError
from tasks.core.paths import Paths
from tasks.core.reporting import explained, report
from tasks.core.settings import PARAMS, load
from tasks.models.skeleton import configured_base
from tasks.stages import stages


def main() -> int:
    """Return 1 where a stage would refuse its settings, or the base."""
    faults: list[TemperError] = []
    for stage in stages():
        if stage.validate is None:
            continue
        try:
            with redirect_stdout(sys.stderr):  # of users' own files, which some stages load
                stage.validate(load(stage.settings, Path(PARAMS), stage.name), Paths())
        except Exception as error:
            faults.append(explained(error, stage.name))
    if configured_base() is not None and not faults:
        from tasks.rehearsal.run import faults as refusals

        with redirect_stdout(io.StringIO()):  # of stages that are tried on a copy
            try:
                faults += refusals()
            except Exception as error:
                faults.append(explained(error, "check"))
    for fault in faults:
        report(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
