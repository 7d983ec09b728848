"""The record of responses, and what makes an answer useless."""

import sqlite3
from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.generate.quality import Diversity, echoes, rejection_reason
from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import ResponseStore, ResponseUsage
from tasks.teacher.settings import Budget


@pytest.fixture
def record(tmp_path: Path) -> ResponseStore:
    return ResponseStore(tmp_path / "work" / "record.sqlite")


def request(number: int) -> Request:
    return Request("m", [{"role": "user", "content": f"nummer {number} \u00e4\u2028"}], {"max_tokens": 9})


def test_what_is_recorded_comes_back_and_equal_records_are_equal_files(record: ResponseStore, tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    responses = [
        Response("text\n\u2028 \U0001f600", "stop", (), 3, 4),
        Response("", "tool_calls", (call,), None, None),
        Response(failed="status 400: too long"),
    ]
    for number, response in enumerate(responses):
        record.put(request(number), response)
    assert [record.get(request(number).key) for number in range(4)] == [*responses, None]
    assert len(record) == 2
    record.save(tmp_path / "one.jsonl")
    other = ResponseStore(tmp_path / "other.sqlite")
    for number in (2, 1, 0):
        other.put(request(number), responses[number])
    other.save(tmp_path / "two.jsonl")
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    third = ResponseStore(tmp_path / "third.sqlite")
    third.load(tmp_path / "one.jsonl")
    assert [third.get(request(number).key) for number in range(3)] == responses
    third.forget_failures()
    assert third.get(request(2).key) is None
    third.load(tmp_path / "one.jsonl")
    third.save(tmp_path / "three.jsonl")
    assert (tmp_path / "three.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()


def test_what_is_lent_is_looked_up_and_only_what_is_used_is_kept(record: ResponseStore, tmp_path: Path) -> None:
    mine, theirs = Response("mine", "stop", (), 3, 4), Response("theirs", "stop", (), 3, 4)
    other = ResponseStore(tmp_path / "other.sqlite")
    for number, response in enumerate((theirs, theirs, theirs, Response(failed="status 400: too long"))):
        other.put(request(number), response)
    other.close_run("a" * 64)
    other.save(tmp_path / "lent" / "one.jsonl")
    record.put(request(0), mine)
    record.load_shared(tmp_path / "lent")
    assert [record.get(request(number).key) for number in (0, 1, 3)] == [mine, theirs, None]
    assert record.is_closed("a" * 64)
    assert len(record) == 2
    record.save(tmp_path / "saved.jsonl")
    assert (tmp_path / "saved.jsonl").read_text().count("\n") == 3, "not the response to the third request"
    record.load_shared(tmp_path / "nowhere")
    assert record.get(request(2).key) is None


def test_a_record_of_nothing_is_no_empty_file(record: ResponseStore, tmp_path: Path) -> None:
    """DVC warns of empty outputs, and a first run has nothing to be warned of."""
    record.save(tmp_path / "one.jsonl")
    assert (tmp_path / "one.jsonl").stat().st_size
    record.load(tmp_path / "one.jsonl")
    assert len(record) == 0
    record.put(request(1), Response("text", "stop", (), 3, 4))
    record.save(tmp_path / "two.jsonl")
    assert (tmp_path / "two.jsonl").read_text().count("\n") == 1


def test_half_of_a_surrogate_pair_is_no_reason_to_fail(record: ResponseStore, tmp_path: Path) -> None:
    record.put(request(0), Response("cut \ud83d", "length"))
    record.save(tmp_path / "record.jsonl")
    assert "cut ?" in (tmp_path / "record.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", ["{}\n", "\n", '{"key": "ab", "response": {}}\n', "[1]\n"])
def test_a_line_of_something_else_is_refused_and_nothing_is_taken_in(
    line: str, record: ResponseStore, tmp_path: Path
) -> None:
    record.put(request(0), Response("a"))
    record.save(tmp_path / "record.jsonl")
    text = (tmp_path / "record.jsonl").read_text()
    (tmp_path / "record.jsonl").write_text(text + line)
    other = ResponseStore(tmp_path / "other.sqlite")
    with pytest.raises(InputError, match=r"record\.jsonl, line 2"):
        other.load(tmp_path / "record.jsonl")
    assert len(other) == 0


def test_spending_stops_at_the_budget_and_counts_each_response_once(record: ResponseStore) -> None:
    budget = Budget(max_tokens=100, max_cost=2)
    record.start_run("run")
    assert record.spend("run", 60, 1, budget)
    assert not record.spend("run", 60, 1, budget)
    assert not record.spend("run", 1, 1.5, budget)
    record.spend("run", -60, -1)
    for attempt in ("first", "second"):
        record.record_use("run", attempt, "key", ResponseUsage(30, 20, 0.5))
    record.record_use("run", "second", "other", ResponseUsage(5, 5, 0.25))
    assert record.totals("run").requests == record.totals("run", "second").requests == 2
    assert record.totals("run", "first").requests == 0
    assert record.totals("run", "second").cost == 0.75
    assert record.spend("run", 40, 0, budget)
    assert not record.spend("run", 1, 0, budget)
    record.start_run("run")  # after a kill: what was under way is not spent
    assert record.spend("run", 40, 0, budget)


def test_two_processes_may_share_a_record(record: ResponseStore, tmp_path: Path) -> None:
    other = ResponseStore(tmp_path / "work" / "record.sqlite")
    record.put(request(0), Response("a"))
    assert other.get(request(0).key) == Response("a")
    assert [record.acquire("gate", 2), other.acquire("gate", 2), record.acquire("gate", 2)] == [True, True, False]
    other.release("gate")
    assert record.acquire("gate", 2)
    times = [(record, 10.0), (other, 11.0), (record, 30.0)]
    assert [store.next_start("gate", now, 3.0) for store, now in times] == [
        10,
        13,
        30,
    ]
    with sqlite3.connect(tmp_path / "work" / "record.sqlite") as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    base.close()


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (None, "budget"),
        (Response(failed="x"), "no_answer"),
        (Response(" \n"), "no_answer"),
        (Response("cut", "length"), "truncated"),
        (Response("cut", "stop", (), 1, 20), "truncated"),  # whatever the server says
        (Response("", "content_filter"), "refusal"),
        (Response("I'm sorry, but I can't help with that."), "refusal"),
        (Response("As an AI language model, I do not have opinions"), "refusal"),
        (Response("I cannot assist with this."), "refusal"),
        (Response("Sorry, I can't do that."), "refusal"),
        (Response("I'm sorry to hear that. Try `docker start web1`."), None),
        (Response("You cannot remove a running container."), None),
        (Response("I can't find fault with it: use `docker ps`."), None),
        (Response("How do I list all images of this host?"), "echo"),
        (Response("How do I list all images of this host? Use docker images."), "echo"),
        (Response("Use docker images."), None),
        (Response("", "tool_calls", ({"type": "function"},)), None),
    ],
)
def test_why_an_answer_is_of_no_use(response: Response | None, reason: str | None) -> None:
    assert rejection_reason(response, 20, "How do I list all images of this host?") == reason


def test_a_short_answer_that_the_question_holds_is_no_echo() -> None:
    assert not echoes("Is it Paris or Rome?", "Paris")
    assert echoes("Paris", "paris!")
    assert not echoes("What?", "")


def test_diversity_tells_sameness() -> None:
    same, varied = Diversity(), Diversity()
    for number in range(10):
        same.add("How do I list images here", "Use docker images")
        varied.add(f"q{number} a{number} b{number} c{number}", f"x{number} y{number}")
    assert same.facts()["questions"] == {"mean_words": 6.0, "distinct_pairs": 0.1}
    assert (same.facts()["commonest_opening"], same.facts()["commonest_opening_share"]) == ("how do i", 1.0)
    assert varied.facts()["questions"]["distinct_pairs"] == 1.0
    assert Diversity().facts() == {"rows": 0}
