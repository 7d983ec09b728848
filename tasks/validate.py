"""What stages would refuse of their settings, of the base and of the first rows, asked before any runs.

    python -m tasks.validate [STAGE ...]        these stages and those that they need; all where none is named

An error a stage, as `tasks.core.reporting` reports it; exit code 1 where there is one. Remarks, which refuse nothing,
are lines on standard output.
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
from tasks.stages import needed, stages


def main(wanted: list[str]) -> int:
    """Return 1 where a stage would refuse its settings, the base, or the first rows."""
    faults: list[TemperError] = []
    remarks: list[str] = []
    asked = needed(wanted)
    for stage in stages():
        if stage.validate is None or stage.name not in asked:
            continue
        try:
            with redirect_stdout(sys.stderr):  # of users' own files, which some stages load
                stage.validate(load(stage.settings, Path(PARAMS), stage.name), Paths())
        except Exception as error:
            faults.append(explained(error, stage.name))
    if not faults:
        with redirect_stdout(io.StringIO()):  # of stages that are tried on a copy
            try:
                faults += _refusals(asked)
                for look in (_of_weights, _of_rows):
                    errors, more = look(asked) if not faults else ([], [])
                    faults += errors
                    remarks += more
            except Exception as error:
                faults.append(explained(error, "check"))
    for fault in faults:
        report(fault)
    for remark in remarks:
        print(remark)
    return 1 if faults else 0


def _refusals(asked: set[str]) -> Iterator[TemperError]:
    """What stages would refuse of the base: of the one that is there, or of the one that a seed will become."""
    from tasks.rehearsal import combined, engines, guiding
    from tasks.rehearsal.sections import raised

    for check in (*guiding.checks(asked), *combined.checks(asked), *engines.checks(asked)):
        yield from raised(check)
    if "base" not in asked:
        return
    if configured_base() is not None:
        from tasks.rehearsal import run

        yield from run.faults(asked)
    elif not asked.isdisjoint(("train", "align")):
        from tasks.rehearsal import seed

        if seed.names_parts():
            yield from seed.faults()
        if "align" in asked:
            yield from seed.untold_tools()


def _of_weights(asked: set[str]) -> tuple[list[TemperError], list[str]]:
    from tasks.rehearsal import finite

    return finite.look(asked, Paths())


def _of_rows(asked: set[str]) -> tuple[list[TemperError], list[str]]:
    from tasks.rehearsal import rows

    return rows.look(asked, Paths())


if __name__ == "__main__":
    import tasks.core.spared  # noqa: F401  # before any heavy import

    sys.exit(main(sys.argv[1:]))
