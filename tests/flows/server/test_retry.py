"""A Prefect server that cannot be reached for a while."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.run.policies import Operation
from flows.server.retry import retry
from tasks.core.errors import Unavailable

HOW = Operation.model_validate({"limits": {"away": {"slots": 1}}, "stages": {"train": {"limits": {"away": 1}}}})


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that goes on by a second whenever it is read."""
    ticks = count()
    monkeypatch.setattr("flows.server.retry.sleep", lambda seconds: None)
    monkeypatch.setattr("flows.server.retry.monotonic", lambda: float(next(ticks)))
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 3}):
        yield


def failing(
    times: int, ask: Callable[..., Any] = lambda: "answer", error: Exception | None = None
) -> Callable[..., Any]:
    left = [error or httpx.ConnectError("refused")] * times

    def attempt(*arguments: Any, **keywords: Any) -> Any:
        if left:
            raise left.pop()
        return ask(*arguments, **keywords)

    return attempt


def test_a_question_is_asked_until_it_is_answered() -> None:
    waits: list[int] = []
    assert retry(failing(2), lambda: waits.append(1)) == "answer"
    assert len(waits) == 2


def test_a_server_that_stays_away_is_said_in_a_sentence() -> None:
    with pytest.raises(Unavailable, match=r"did not answer for 16 s \(ConnectError\); finished stages are kept"):
        retry(failing(100))


def status(code: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError(str(code), request=httpx.Request("GET", "/"), response=httpx.Response(code))


def test_a_refusal_is_no_reason_to_ask_again_but_a_failure_is() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        retry(failing(1, error=status(409)))
    assert retry(failing(1, error=status(503))) == "answer"


def test_slots_are_waited_for_while_the_server_is_away(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    increment = PrefectClient.increment_concurrency_slots_with_lease
    monkeypatch.setattr(PrefectClient, "increment_concurrency_slots_with_lease", failing(2, increment))
    messages: list[str] = []
    with HOW.slots("train", lambda: None, messages.append), get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name("temper-away").active_slots == 1
    assert messages == []
    with get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name("temper-away").active_slots == 0


def test_slots_that_cannot_be_given_back_do_not_fail_the_stage(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give_back = PrefectClient.release_concurrency_slots_with_lease
    held: list[Any] = []

    async def lost(self: Any, lease_id: Any, *arguments: Any) -> None:
        held.append(lease_id)
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(PrefectClient, "release_concurrency_slots_with_lease", lost)
    messages: list[str] = []
    with HOW.slots("train", lambda: None, messages.append):
        pass
    assert messages == [
        "the server did not answer; it frees the slots of temper-away 120 s after they were last renewed"
    ]
    monkeypatch.setattr(PrefectClient, "release_concurrency_slots_with_lease", give_back)
    with get_client(sync_client=True) as client:
        client.release_concurrency_slots_with_lease(held[0])
