"""What stages would refuse of their settings and of the base, asked before any runs: `python -m tasks.validate`.

An error a stage, as `tasks.core.reporting` reports it; exit code 1 where there is one.
"""

import io
import sys
from collections.abc import Iterator
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
    if not faults:
        with redirect_stdout(io.StringIO()):  # of stages that are tried on a copy
            try:
                faults += _refusals()
            except Exception as error:
                faults.append(explained(error, "check"))
    for fault in faults:
        report(fault)
    return 1 if faults else 0


def _refusals() -> Iterator[TemperError]:
    """What stages would refuse of the base: of the one that is there, or of the one that a seed will become."""
    if configured_base() is not None:
        from tasks.rehearsal import run

        yield from run.faults()
    else:
        from tasks.rehearsal import seed

        if seed.names_parts():
            yield from seed.faults()


if __name__ == "__main__":
    sys.exit(main())
