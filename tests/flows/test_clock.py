"""A clock that is set while runs are under way: nobody is taken for dead, nothing is lost or done twice."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.project import BELOW_TRAIN, until
from tests.flows.site import Site, deployed

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

HOUR = 3600


class Clock:
    """The wall clock of the server, the worker and its runs."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        """Set it to the true time plus so many seconds."""
        aside = self._file.with_suffix(".new")
        aside.write_text(str(seconds))
        aside.rename(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler here (Debian: apt-get install gcc libc6-dev)")
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return Clock(tmp_path, library)


@pytest.fixture
def timed(clock: Clock, finished: Path, tmp_path: Path) -> Iterator[Site]:
    """The finished toy, deployed, in which the server, the worker and the runs have that clock."""
    with deployed(finished, tmp_path, runs=clock.environment, **clock.environment) as site:
        yield site


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_jumps_in_mid_run_changes_nothing(timed: Site, clock: Clock, jump: int) -> None:
    """A second run starts after the jump, which makes it look for dead ones."""
    gate, before = timed.toy.hold("train"), timed.started()
    first = timed.start("train.learning_rate=9e-4")
    timed.toy.held("train")
    clock.set(jump)
    second = timed.start("train.learning_rate=9.5e-4")
    until(lambda: "worktree of" in timed.logs(timed.run(second).id))
    assert timed.state(first) == "Running"
    starts = [timed.run(name).start_time for name in (first, second)]
    assert starts[0]
    assert starts[1]
    assert abs((starts[1] - starts[0]).total_seconds() - jump) < HOUR / 2  # the clock did jump
    gate.unlink()
    assert [timed.ended(first), timed.ended(second)] == ["Completed", "Completed"]
    assert timed.started() - before == 2 * len(BELOW_TRAIN)
    assert timed.parameter(first, "learning_rate") == 9e-4
    assert timed.parameter(second, "learning_rate") == 9.5e-4
    until(lambda: not timed.left())
