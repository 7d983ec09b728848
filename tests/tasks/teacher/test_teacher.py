"""A teacher on a server: every way in which it does not answer, over real HTTP, and what is made of each."""

import asyncio
import json
import time
from collections.abc import Callable
from email.utils import format_datetime, localtime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tasks.teacher import client as client_module
from tasks.teacher.backends import create_backend
from tasks.teacher.budget import BudgetTracker
from tasks.teacher.client import Client
from tasks.teacher.errors import FatalError, RequestError, TransientError
from tasks.teacher.rate_limiter import RateLimiter
from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import ResponseStore
from tasks.teacher.server import ServerBackend, _retry_after
from tasks.teacher.settings import Budget, Teacher
from tests.tasks.teacher_server import Asked, Reply, Script, teacher_server

KEY = "sk-open-sesame"


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_BACKOFF", 0.001)


def ask(
    script: Script, count: int = 1, seen: Callable[[Any], None] = lambda server: None, **settings: Any
) -> list[Response | Exception]:
    """The answers to `count` different questions to a server with `script`, or the errors."""
    with teacher_server(script) as server:
        responses = asked(Teacher(kind="openai", base_url=server.base_url, model="m", **settings), count)
        seen(server)
    return responses


def asked(settings: Teacher, count: int) -> list[Response | Exception]:
    with TemporaryDirectory() as folder:
        record = ResponseStore(Path(folder) / "record.sqlite")
        try:
            return asyncio.run(_ask(settings, count, record))
        finally:
            record.close()


async def _ask(settings: Teacher, count: int, record: ResponseStore) -> list[Response | Exception]:
    backend = ServerBackend(settings, KEY)
    client = Client(backend, settings, BudgetTracker(record, "run", Budget(), settings), RateLimiter(record, settings))
    requests = [Request.of(settings, "m", [{"role": "user", "content": f"question {n}"}]) for n in range(count)]
    try:
        responses = await asyncio.gather(*(client.answer(request) for request in requests), return_exceptions=True)
    finally:
        await backend.close()
    return [error for error in responses if isinstance(error, Response | Exception)]


def only(responses: list[Response | Exception], kind: type[Exception]) -> str:
    """The message of the one error there is."""
    assert len(responses) == 1
    assert type(responses[0]) is kind
    assert KEY not in str(responses[0])
    return str(responses[0])


def first_then(fault: Reply | int, script: Script = lambda asked: "well") -> Script:
    """A script that fails once."""
    return lambda asked: fault if not asked.number else script(asked)


def test_an_answer_with_all_that_came_with_it() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    responses = ask(lambda asked: Reply("well", tool_calls=calls, tokens=(3, 4)))
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert responses == [Response("well", "tool_calls", (call,), 3, 4)]


def test_hugging_face_is_a_server_of_that_protocol_with_its_own_address_and_key() -> None:
    settings = Teacher(kind="huggingface", model="m")
    assert (settings.url, settings.key_name) == ("https://router.huggingface.co/v1", "HF_TOKEN")
    with teacher_server(lambda asked: "well") as server:
        responses = asked(Teacher(kind="huggingface", model="m", base_url=f"{server.base_url}/"), 1)
        assert [(one.path, one.body["model"]) for one in server.asked] == [("/v1/chat/completions", "m")]
    assert responses == [Response("well", "stop", (), 7, 5)]


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    body = b'{"choices": [{"message": {"content": "cut \\ud83d"}, "finish_reason": "length"}]}'
    assert ask(lambda asked: Reply(body=body)) == [Response("cut ?", "length")]


def test_what_is_sent_is_openai_s_protocol_with_the_key_in_the_header() -> None:
    def seen(server: Any) -> None:
        assert server.keys == [f"Bearer {KEY}"]
        assert server.asked[0].path == "/v1/chat/completions"
        assert server.asked[0].body == {
            "model": "m",
            "messages": [{"role": "user", "content": "question 0"}],
            "temperature": 0.5,
            "top_p": 1.0,
            "max_tokens": 9,
            "seed": 3,
            "top_k": 20,
        }

    assert ask(lambda asked: "well", 1, seen, temperature=0.5, max_new_tokens=9, seed=3, extra={"top_k": 20})


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(429, id="busy"),
        pytest.param(500, id="broken"),
        pytest.param(503, id="overloaded"),
        pytest.param(408, id="too late"),
        pytest.param(Reply(body=b'{"choices": [{"mess'), id="cut-off JSON"),
        pytest.param(Reply(body=b'{"choices": []}'), id="empty choices"),
        pytest.param(Reply(body=b"[]"), id="a list"),
        pytest.param(Reply(body=b'{"choices": [{"message": {"content": 7}}]}'), id="a number"),
        pytest.param(Reply(body=b"<html>502 in disguise</html>", headers={"Content-Type": "text/html"}), id="a page"),
        pytest.param(Reply(body=b"data: {}\n\n", headers={"Content-Type": "text/event-stream"}), id="a stream"),
        pytest.param(Reply(close=True), id="connection closed"),
        pytest.param(Reply(body=b'{"choices": [', close=True), id="connection closed half-way"),
        pytest.param(Reply("late", drip=True), id="a drip that outlasts the time-out"),
    ],
)
def test_what_fails_for_now_is_asked_again(fault: Reply | int) -> None:
    counts: list[int] = []
    responses = ask(first_then(fault), 1, lambda server: counts.append(len(server.asked)), request_timeout=1)
    assert [error.text if isinstance(error, Response) else error for error in responses] == ["well"]
    assert counts == [2]


def test_a_request_is_given_up_after_its_retries_and_others_go_on() -> None:
    def script(asked: Asked) -> int | str:
        return 500 if asked.text == "question 1" else "well"

    counts: list[int] = []
    responses = ask(script, 3, lambda server: counts.append(len(server.asked)), max_retries=2)
    assert [type(error) for error in responses] == [Response, TransientError, Response]
    assert "status 500: scripted failure 500" in str(responses[1])
    assert counts == [2 + 3]


def test_what_is_the_request_s_own_fault_is_not_asked_again() -> None:
    counts: list[int] = []
    too_long = Reply(status=400, body=b'{"error": {"message": "maximum context length is 512 tokens"}}')
    responses = ask(lambda asked: too_long, 1, lambda server: counts.append(len(server.asked)))
    assert only(responses, RequestError) == "status 400: maximum context length is 512 tokens"
    assert counts == [1]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(status=401, body=f'{{"error": "bad key {KEY}"}}'.encode()), r"rejects the key in MY_KEY.*\*\*\*"),
        (Reply(status=404, body=b'{"error": "no model m"}'), r"has no 'm'.*base_url.*404: no model m"),
        (Reply(status=301, headers={"Location": "http://elsewhere/"}), r"has no 'm', or the URL is wrong.*301"),
        (Reply(status=402, body=b'{"message": "pay"}'), "requires payment"),
        (Reply(status=429, body=b'{"error": {"code": "insufficient_quota"}}'), "requires payment"),
    ],
)  # fmt: skip
def test_what_no_retry_mends_stops_everything_at_once(reply: Reply, message: str) -> None:
    counts: list[int] = []
    reply = reply if reply.body is not None else Reply(**{**vars(reply), "body": b""})
    responses = ask(lambda asked: reply, 40, lambda server: counts.append(len(server.asked)), key_variable="MY_KEY",
                concurrency=2)  # fmt: skip
    assert {type(error) for error in responses} == {FatalError}
    with pytest.raises(FatalError, match=message):
        raise responses[0] if isinstance(responses[0], Exception) else AssertionError
    assert not any(KEY in str(error) for error in responses)
    assert counts[0] <= 2


def test_a_server_that_is_not_there_stops_everything() -> None:
    with teacher_server(lambda asked: "well") as server:
        url = server.base_url
    settings = Teacher(kind="openai", base_url=url, model="m", max_retries=1)
    responses = asked(settings, 3)
    assert {type(error) for error in responses} == {FatalError}
    assert "cannot be reached" in str(responses[0])


def test_a_server_that_only_fails_is_given_up() -> None:
    counts: list[int] = []
    responses = ask(
        lambda asked: 500, 100, lambda server: counts.append(len(server.asked)), max_retries=0, concurrency=1
    )
    assert [type(error) for error in responses[:15]] == [TransientError] * 15
    assert {type(error) for error in responses[15:]} == {FatalError}
    assert "16 requests in a row failed; the last: status 500" in str(responses[-1])
    assert counts == [16]


def test_a_server_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    """All requests wait, not only the one that was told to."""
    times: list[float] = []

    def script(asked: Asked) -> Reply | str:
        times.append(time.monotonic())
        if not asked.number:
            return Reply(status=429, headers={"Retry-After": "0.4"}, body=b"")
        return "well"

    responses = ask(script, 6, concurrency=1)
    assert [type(error) for error in responses] == [Response] * 6
    assert times[1] - times[0] >= 0.4


def test_a_key_that_is_not_set_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    settings = Teacher(kind="openai", base_url="http://127.0.0.1:9/v1", model="m", key_variable="TEACHER_KEY")
    with pytest.raises(FatalError, match=r"variable TEACHER_KEY is not set.*Secret 'teacher-key'"):
        create_backend(settings)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(FatalError, match="variable HF_TOKEN is not set"):
        create_backend(Teacher(kind="huggingface", model="m"))


def test_retry_after_is_a_number_or_a_date() -> None:
    assert _retry_after("3") == 3
    assert _retry_after("1e9") == 300
    assert _retry_after("-1") == 0
    assert _retry_after("soon") is None
    assert _retry_after(format_datetime(localtime())) == pytest.approx(0, abs=2)


def test_no_more_are_asked_at_once_or_in_a_minute_than_allowed() -> None:
    import threading

    now, most, guard = [0], [0], threading.Lock()

    def script(asked: Asked) -> str:
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.02)
        with guard:
            now[0] -= 1
        return "well"

    assert len(ask(script, 20, concurrency=3)) == 20
    assert most[0] <= 3
    began = time.monotonic()
    ask(lambda asked: "well", 5, requests_per_minute=600)
    assert time.monotonic() - began >= 0.4


def test_equal_requests_have_one_key_and_others_have_others() -> None:
    settings = Teacher(kind="openai", base_url="http://127.0.0.1:9/v1", model="m")
    messages = [{"role": "user", "content": "q"}]
    key = Request.of(settings, "m", messages).key
    elsewhere = settings.model_copy(update={"base_url": "http://127.0.0.1:10/v1", "concurrency": 1})
    assert Request.of(elsewhere, "m", list(messages)).key == key
    others = [
        Request.of(settings, "n", messages),
        Request.of(settings, "m", messages, 1),
        Request.of(settings, "m", {"content": messages, "tools": []}),
        Request.of(settings.model_copy(update={"temperature": 0.1}), "m", messages),
        Request.of(settings.model_copy(update={"extra": {"top_k": 1}}), "m", messages),
    ]
    assert len({key, *(request.key for request in others)}) == 6
    assert json.loads(json.dumps(others[1].as_dict())) == others[1].as_dict()
