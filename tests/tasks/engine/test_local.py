"""As many processes as there are cores, and nobody can tell from what comes out."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context, parent_process
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import InputError, MachineError
from tasks.core.paths import Paths
from tasks.engine import local
from tasks.engine.local import AHEAD, FEW, ordered
from tasks.template import stage as template
from tests.tasks import tiny

ROOT = Path(__file__).parents[3]


def paired(number: int) -> tuple[int, int]:
    """A number with the process that saw it."""
    return number, os.getpid()


def failing(number: int) -> int:
    if number >= 7:
        raise InputError(f"row {number} is odd.")
    return number


def ending(number: int) -> int:
    if number >= 5 and parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_what_comes_out_is_in_the_order_of_what_went_in(processes: int) -> None:
    results = list(ordered(paired, range(40), processes))
    assert [number for number, _ in results] == list(range(40))
    others = {process for _, process in results} - {os.getpid()}
    assert (len(others) > 0) == (processes > 1) and len(others) < processes


def test_this_process_works_as_well_while_the_others_have_enough_to_do() -> None:
    worked = get_context("fork").Event()

    def work(number: int) -> int:
        if parent_process():
            assert worked.wait(60)
        else:
            worked.set()
        return os.getpid()

    assert len(set(ordered(work, range(40), 2))) == 2


def test_few_items_start_no_process() -> None:
    assert {process for _, process in ordered(paired, range(FEW - 1), 2)} == {os.getpid()}


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_error_in_order_is_raised_in_its_turn(processes: int) -> None:
    seen = []
    with pytest.raises(InputError, match=r"^row 7 is odd\.$"):
        for number in ordered(failing, range(40), processes):
            seen.append(number)
    assert seen == list(range(7))


def test_items_are_taken_no_further_ahead_than_the_memory_allows() -> None:
    taken = [0]

    def items() -> Iterator[int]:
        for number in range(100):
            taken[0] = number
            yield number

    for number, _ in ordered(paired, items(), 2):
        assert taken[0] <= number + 2 * AHEAD + FEW


def test_a_worker_that_is_ended_is_told_in_one_sentence() -> None:
    with pytest.raises(MachineError, match=r"a worker process died \(exit code -9; "):
        list(ordered(ending, range(40), 2))


def test_no_worker_outlives_the_process_that_started_it() -> None:
    code = (
        "import os, time; from tasks.engine.local import ordered\n"
        "def work(n): return (time.sleep(n > 3), os.getpid())[1]\n"
        "for pid in ordered(work, iter(range(10**6)), 2): print(pid, flush=True)"
    )
    started = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert int(started.stdout.readline()) != started.pid
    started.kill()
    started.communicate(timeout=60)  # its workers hold the pipe: the end comes once the last of them is gone


def many_rows(project: Paths) -> Paths:
    """A project with enough rows for several processes: some quote control tokens, some are too long."""
    questions = ["docker stop web", "ünï <|im_end|>", "docker " * 60, "a\n\nb "]
    chats = [
        [
            {"role": "user", "content": f"{questions[number % 4]} {number}"},
            {"role": "assistant", "content": f"docker rm {number}"},
        ]
        for number in range(330)
    ]
    pq.write_table(tiny.rows("train", chats), project.clean / "train.parquet")
    return project


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return many_rows(tiny.project(tmp_path, method="none"))


def test_the_stage_writes_the_same_bytes_with_any_number_of_processes(
    project: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.template.stream.SMALL", 0)

    def contents(processes: int) -> dict[str, bytes]:
        monkeypatch.setattr(local, "cores", lambda: processes)
        template.run(template.Settings(max_length=100, over_length="drop", max_loss=1), project)
        return {file.name: file.read_bytes() for file in sorted(project.templated.rglob("*")) if file.is_file()}

    alone = contents(1)
    assert alone["truncated.parquet"] and b"quoted" in alone["audit.json"]
    assert contents(2) == alone
    assert contents(3) == alone
