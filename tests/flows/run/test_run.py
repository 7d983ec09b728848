"""Edits, other runs and other commands while a run is under way."""

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import StageFailed
from tests.flows.project import Toy


def test_an_input_edited_meanwhile_is_refused(toy: Toy) -> None:
    toy.set("train.learning_rate=1e-4")
    before = toy.lock
    code = Path("code/trainer.py")
    with pytest.raises(StageFailed, match=r"train: code changed while it ran.*dvc.lock is unchanged. Run again"):
        toy.meanwhile("train", lambda: code.write_text("x = 2\n"))
    assert toy.lock == before
    weights = Path("data/trained/weights.txt").read_text()

    # The run cache must not have learnt that the edited input gives those outputs.
    code.write_text("x = 1\n")
    toy.flow()
    assert Path("data/trained/weights.txt").read_text() == weights
    code.write_text("x = 2\n")
    assert toy.flow()["train"] == "ran"


def test_a_parameter_edited_meanwhile_is_refused(toy: Toy) -> None:
    Path("code/trainer.py").write_text("x = 2\n")
    before = toy.lock
    with pytest.raises(StageFailed, match=r"train: params.yaml changed while it ran"):
        toy.meanwhile("train", lambda: toy.set("train.learning_rate=1e-4"))
    assert toy.lock == before


def test_dvc_stays_out_of_a_running_stage(toy: Toy) -> None:
    Path("code/trainer.py").write_text("x = 2\n")
    outputs: list[str] = []
    toy.meanwhile("train", lambda: outputs.append(toy.call("dvc", "repro", "train", check=False)))
    assert "is busy, it is being blocked by" in outputs[0]


def test_a_second_run_waits_or_says_who_is_first(toy: Toy) -> None:
    Path("code/trainer.py").write_text("x = 2\n")
    gate = toy.hold("train")
    first = toy.temper("run")
    toy.held("train")
    waiting = toy.temper("run", "train")
    assert waiting.stderr is not None
    assert f"waiting for process {first.pid} (" in waiting.stderr.readline()
    stderr = toy.failed("run", "--no-wait")
    assert stderr.startswith(f"temper run: process {first.pid} (")
    assert "is running in this checkout" in stderr
    gate.unlink()
    stdout = first.communicate()[0]
    assert re.search(r"^train +ran ", stdout, re.MULTILINE)
    assert f"open {toy.environment['PREFECT_API_URL'].removesuffix('/api')}" in stdout
    stdout = waiting.communicate()[0]
    assert re.search(r"^train +unchanged", stdout, re.MULTILINE)
    assert "temper run   (all other stages)" in stdout
    assert not re.search(r"^merge", stdout, re.MULTILINE)


def test_an_error_that_nobody_foresaw_fails_the_run_too(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("no reason")

    monkeypatch.setattr("flows.run.run.ensure_current", broken)
    toy.set("train.learning_rate=1e-4")
    before = toy.lock
    with pytest.raises(StageFailed, match=r"^train: ZeroDivisionError: no reason \(unexpected; see"):
        toy.flow()
    assert toy.lock == before


def test_a_slot_that_is_granted_late_is_not_lost(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is slow to answer grants what was asked for, whether or not anybody still waits for it."""
    from prefect.client.orchestration import PrefectClient, get_client

    from flows.run.policies import Operation

    ask = PrefectClient.increment_concurrency_slots_with_lease

    async def slowly(self: Any, *arguments: Any, **more: Any) -> Any:
        answer = await ask(self, *arguments, **more)
        await asyncio.sleep(3.0)
        return answer

    how = Operation.model_validate({"limits": {"late": {"slots": 1}}, "stages": {"train": {"limits": {"late": 1}}}})
    monkeypatch.setattr(PrefectClient, "increment_concurrency_slots_with_lease", slowly)
    waits: list[str] = []
    with how.slots("train", lambda: None, waits.append), get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name("temper-late").active_slots == 1
    with get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name("temper-late").active_slots == 0
    assert waits == []


@pytest.mark.usefixtures("api")
def test_who_waits_for_a_slot_says_what_the_limit_is_for() -> None:
    from flows.run.policies import Operation

    def give_up() -> None:
        if lines:
            raise TimeoutError

    how = Operation.model_validate({"limits": {"gpu": {"slots": 1, "each": "host"}}})
    lines: list[str] = []
    with (
        how.slots("train", lambda: None, lines.append),
        pytest.raises(TimeoutError),
        how.slots("merge", give_up, lines.append),
    ):
        pass
    (line,) = lines
    assert line.startswith(
        "merge waits for its turn at the limit 'gpu': stages that compute on a graphics card, or on the processor "
        "where there is none, share its slots. It takes 1 of 1 slot; infra/stages.yaml sets how many there are"
    )
    assert line.endswith(f"and Prefect calls it temper-gpu-{socket.gethostname()}.")


def test_a_server_that_does_not_start_is_a_sentence(toy: Toy) -> None:
    toy.environment.update(PREFECT_API_URL="", PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="0")
    run = toy.temper("run")
    stderr = run.communicate()[1]
    assert run.returncode == 1
    assert "temper run: the Prefect server of this run did not start in time; start one with `temper ui`" in stderr
    assert "Traceback" not in stderr
