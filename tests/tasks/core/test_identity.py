"""Who a process is, and whether it lives: its number alone does not say."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.identity import Identity, current, started


def test_an_identity_comes_back_from_its_text_and_other_text_is_none() -> None:
    assert Identity.parse(str(current())) == current()
    for text in ("", "12", "12-34", "a-1-host-boot-1", "12-34-host-boot-", "1-2-3-4-5-6", "readme.md"):
        assert Identity.parse(text) is None, text


def test_a_process_is_known_by_its_start_not_by_its_number() -> None:
    mine = current()
    assert not mine.dead()
    assert mine._replace(start=mine.start - 1).dead()
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert (mine.pid, mine.start) == (os.getpid(), int(fields[19]))


def test_a_process_that_ended_is_dead_even_before_its_parent_looks() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    birth = started(child.pid)
    assert birth is not None
    other = current()._replace(pid=child.pid, start=birth)
    assert not other.dead()
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert other.dead()
    child.communicate()
    assert other.dead()


@pytest.mark.parametrize(
    ("where", "dead"),
    [
        ({"boot": "00000000"}, True),  # this machine, before it was started again
        ({"boot": "00000000", "host": "000000"}, False),
        ({"host": "000000"}, False),  # this machine under another name: the process lives
        ({"namespace": "1", "start": 1}, False),  # in a container, where the number counts differently
    ],
)
def test_of_other_machines_and_containers_nothing_is_certain(where: dict[str, str | int], dead: bool) -> None:
    assert Identity(**{**current()._asdict(), **where}).dead() is dead
