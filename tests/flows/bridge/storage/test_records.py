"""A stage with a record of responses is restored like any other, and what was paid for stays on record."""

import json
from pathlib import Path

import pytest

from flows.bridge import survey
from flows.bridge.storage.records import join
from tests.flows.bridge.small import ASKED, Project
from tests.flows.bridge.storage.test_restore import cloned

RECORD, ASKED_FOR = Path("data/record.jsonl"), Path("data/asked.txt")

KEYS = [f"{number:064x}" for number in range(6)]


def line(number: int, kind: str = "response", text: str = "yes") -> str:
    return json.dumps({"key": KEYS[number], kind: text}, ensure_ascii=False) + "\n"


EMPTY = '{"responses": 0}\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, "copy", ASKED)


def rate(value: float) -> None:
    Path("params.yaml").write_text(f"rate: {value}\n")


def asked(project: Project, *, remote: str | None = None) -> str:
    """How the stage with the record became current."""
    return project.run(remote=remote).get("asked", "unchanged")


def test_a_change_that_is_taken_back_restores_and_the_record_keeps_both_answers(project: Project) -> None:
    first = RECORD.read_text()
    rate(0.2)
    assert asked(project) == "ran"
    both = RECORD.read_text()
    assert set(both.splitlines()) > set(first.splitlines())
    rate(0.1)
    assert [status.restorable for status in survey(look_up=True) if status.name == "asked"] == [True]
    assert asked(project) == "restored"
    assert RECORD.read_text() == both
    assert ASKED_FOR.read_text() == first
    rate(0.2)
    assert asked(project) == "restored"
    assert RECORD.read_text() == both
    assert asked(project) == "unchanged"


def test_another_machine_restores_it_and_loses_no_answer_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = cloned(tmp_path, monkeypatch, ASKED)
    theirs = project.bytes[str(RECORD)].decode()
    rate(0.2)
    assert asked(project, remote="") == "ran"
    mine = RECORD.read_text()
    assert len(mine.splitlines()) == 1
    rate(0.1)
    assert asked(project, remote="") == "restored"
    assert RECORD.read_text() == "".join(sorted([mine, theirs]))
    assert ASKED_FOR.read_text() == theirs
    assert project.lines == []
    RECORD.unlink()
    ASKED_FOR.unlink()
    Path("dvc.lock").unlink()
    assert asked(project, remote="") == "restored"
    assert theirs in RECORD.read_text()


@pytest.mark.parametrize("change", ["another answer", "one answer less"])
def test_a_record_that_somebody_edited_is_replayed(project: Project, change: str) -> None:
    """Not put back: who edits one wants the stage to use it."""
    rate(0.2)
    asked(project)
    (other,) = {*RECORD.read_text().splitlines(keepends=True)} - {ASKED_FOR.read_text()}
    edited = ASKED_FOR.read_text().replace("rate", "rat")
    RECORD.write_text("".join(sorted([edited, other])) if change == "another answer" else other)
    assert [status.restorable for status in survey(look_up=True) if status.name == "asked"] == [False]
    assert asked(project) == "ran"
    if change == "another answer":
        assert ASKED_FOR.read_text() == edited


def test_where_two_answers_to_a_request_differ_the_stage_uses_its_own(project: Project) -> None:
    edited = RECORD.read_text().replace("rate", "rat")
    Path("dvc.lock").unlink()
    RECORD.write_text(edited)
    assert asked(project) == "ran"
    assert RECORD.read_text() == ASKED_FOR.read_text() == edited


def test_what_is_no_record_is_left_to_the_stage(project: Project) -> None:
    Path("dvc.lock").unlink()
    RECORD.write_text("x" * 80 + "\n")
    assert asked(project) == "ran"


@pytest.mark.parametrize(
    ("own", "other", "joined"),
    [
        (line(1), line(1), line(1)),
        (line(1) + line(3), line(2), line(1) + line(2) + line(3)),
        (line(2), line(1) + line(3), line(1) + line(2) + line(3)),
        (line(1) + line(2), line(2), line(1) + line(2)),
        (EMPTY, line(1), line(1)),
        (line(1), EMPTY, line(1)),
        (EMPTY, EMPTY, EMPTY),
        ("", line(1), line(1)),
        (line(1, "failed", "503"), line(1), line(1)),
        (line(1, "failed", "503"), line(1, "failed", "503"), line(1, "failed", "503")),
        (line(1, "closed", "budget"), line(2), line(1, "closed", "budget") + line(2)),
        (line(1), line(1, "failed", "503"), None),
        (line(1), line(1, text="no"), None),
        (line(1, "failed", "503"), line(1, "failed", "429"), None),
        (line(2) + line(1), line(3), None),
        (line(1) + line(1), line(3), None),
        (line(1), "nothing of the kind\n", None),
        (line(1)[:-1], line(2), None),
        (line(1, text="ä\u2028\x85"), line(2), line(1, text="ä\u2028\x85") + line(2)),
    ],
)
def test_two_records_in_one(tmp_path: Path, own: str, other: str, joined: str | None) -> None:
    mine, theirs = tmp_path / "mine.jsonl", tmp_path / "theirs.jsonl"
    mine.write_text(own)
    theirs.write_text(other)
    assert join(mine, theirs) == (joined is not None)
    assert mine.read_text() == (own if joined is None else joined)
    assert theirs.read_text() == other
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["mine.jsonl", "theirs.jsonl"]
