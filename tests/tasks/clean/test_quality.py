"""The steps of the stage clean: repair and quality, each off, reporting or dropping; what is found is never silent."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tasks.clean.settings import Settings
from tasks.core.errors import SettingsError
from tasks.core.paths import Paths
from tests.tasks.clean.test_clean import chat, cleaned, put

PUBLIC = Path(__file__).parents[4] / "shared" / "data"

PROSE = "We came home late that night, and the door stood open, which none of us had expected at all"
QUESTION = "What is the capital of France, please?"

OFF: dict[str, Any] = {
    **dict.fromkeys(("refusal", "boilerplate", "truncated", "garbled"), "off"),
    **{key: {"action": "off"} for key in ("row", "answer", "repetition", "echo", "language")},
}

FAULTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("short_row", chat("a", "b"), {"row": {"min_characters": 3}}),
    ("short_row", chat("a b", "c"), {"row": {"min_words": 4}}),
    ("long_row", chat(PROSE, PROSE), {"row": {"max_words": 30}}),
    ("long_row", {"text": f"{PROSE} {PROSE}"}, {"row": {"max_characters": 150}}),
    ("short_answer", chat(PROSE, "ab"), {"answer": {"min_characters": 3}}),
    ("short_answer", chat(PROSE, "abc"), {"answer": {"min_words": 2}}),
    ("long_answer", chat("Go on.", PROSE), {"answer": {"max_words": 12}}),
    ("long_answer", chat("Go on.", PROSE), {"answer": {"max_characters": 50}}),
    ("refusal", chat("Book it.", "I'm sorry, but I can't assist with that."), {}),
    ("boilerplate", chat("Your favourite?", "As an AI language model, I do not have any."), {}),
    ("truncated", chat("Go on.", f"{PROSE}, because"), {}),
    ("truncated", chat("Go on.", "A whole sentence.", finish_reason="length"), {}),
    ("truncated", {"messages": [chat("Go on.")["messages"][0], {**chat("", "Done.")["messages"][1],
                                                               "finish_reason": "max_tokens"}]}, {}),
    ("garbled", chat("What does it say?", "Don\u00e2\u20ac\u2122t say \u201cno\u201d"), {}),
    ("echo", chat(QUESTION, QUESTION), {}),
    ("repetition", chat("Go on.", "and then I said " * 50), {"repetition": {"lines": None, "sentences": None}}),
    ("repetition", chat("Go on.", f"{PROSE}.\n" * 3), {"repetition": {"sentences": None, "words": None}}),
    ("repetition", chat("Go on.", f"{PROSE}. " * 3), {"repetition": {"lines": None, "words": None}}),
    ("repetition", {"text": "no" + "o" * 60}, {}),
    ("language", chat("Kannst du mir bitte beim Kochen helfen?", "Yes."), {"language": {"wanted": ["en", "fr"]}}),
]  # fmt: skip


def step(name: str, action: str, more: dict[str, Any]) -> dict[str, Any]:
    """Settings of `clean.quality` with one step on; `more` are its limits."""
    key = name.removeprefix("short_").removeprefix("long_")
    nested = isinstance(OFF[key], dict)
    return {**OFF, key: {"action": action, **more.get(key, {})} if nested else action}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "input").mkdir()
    put(
        Paths(tmp_path),
        "exam.jsonl",
        chat("Which container is asked for in the exam?", "The one called web.", split="test"),
    )
    return Paths(tmp_path)


def reported(paths: Paths) -> list[dict[str, Any]]:
    """What was found; the ledger and the profile agree with it."""
    lines: list[dict[str, Any]] = parquet.read_table(paths.clean / "reported.parquet").to_pylist()
    names = [line["finding"] for line in lines]
    assert json.loads((paths.clean / "ledger.json").read_text())["reported"] == {
        name: names.count(name) for name in set(names)
    }
    assert set(json.loads((paths.clean / "profile.json").read_text())["reported"]) == set(names)
    return lines


@pytest.mark.parametrize(("name", "row", "more"), FAULTS)
def test_a_step_reports_or_drops_or_is_off(paths: Paths, name: str, row: dict[str, Any], more: dict[str, Any]) -> None:
    put(paths, "rows.jsonl", {**row, "split": "train"}, chat("Say hello.", "Hello to you, my friend!", split="train"))
    kept = cleaned(paths, quality=step(name, "report", more))
    assert len(kept["train"]) == 2
    (line,) = reported(paths)
    assert (line["finding"], line["file"], line["line"], line["split"]) == (name, "rows.jsonl", 1, "train")
    assert line["id"] == kept["train"][0]["id"]
    assert line["shown"]
    kept = cleaned(paths, quality=step(name, "drop", more))
    assert [(left["reason"], left["line"]) for left in kept["left_out"]] == [(name, 1)]
    assert reported(paths) == []
    assert len(cleaned(paths, quality=OFF)["train"]) == 2
    assert reported(paths) == []


def test_answers_that_are_not_to_be_learned_are_not_judged(paths: Paths) -> None:
    refusal = "I'm sorry, but I can't assist with that."
    put(
        paths,
        "rows.jsonl",
        {"prompt": "Book it.", "chosen": "Booked.", "rejected": refusal, "split": "train"},
        {"prompt": "Book that.", "completion": refusal, "label": False, "split": "train"},
        chat("Book mine.", refusal, tools=[{"name": "search"}], split="train"),
        {"prompt": "Book hers.", "chosen": refusal, "rejected": "No.", "split": "train"},
        {"prompt": "Book his.", "completion": refusal, "label": True, "split": "train"},
        {"messages": [*chat("Book theirs.", refusal)["messages"], *chat("Then tea.")["messages"]], "split": "train"},
    )
    cleaned(paths)
    assert [(line["finding"], line["line"]) for line in reported(paths)] == [("refusal", n) for n in (4, 5, 6)]


def test_what_is_repaired_is_counted_and_shown_and_tools_stay(paths: Paths) -> None:
    garbled = "the caf\u00c3\u00a9"
    tools = [{"type": "function", "function": {"name": "ls", "description": garbled}}]
    arguments = json.dumps({"path": garbled}, ensure_ascii=False)
    calls = [{"id": "1", "type": "function", "function": {"name": "ls", "arguments": arguments}}]
    turns = [
        {"role": "user", "content": garbled},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "\x1b[31mred\x1b[0m", "tool_call_id": "1"},
        {"role": "assistant", "content": "It is cafe\u0301."},
    ]
    texts = [{"text": text, "split": "train"} for text in (f"{garbled} nearby", "the caf\u00e9 nearby")]
    put(paths, "rows.jsonl", {"messages": turns, "tools": tools, "split": "train"}, *texts)
    kept = cleaned(paths, near_duplicate=None)
    row, text = kept["train"]
    assert [turn["content"] for turn in row["messages"]] == ["the caf\u00e9", "", "red", "It is caf\u00e9."]
    assert json.loads(row["tools"]) == tools
    assert json.loads(row["messages"][1]["extra"])["tool_calls"] == calls
    assert text["text"] == "the caf\u00e9 nearby"
    assert [left["reason"] for left in kept["left_out"]] == ["duplicate"], "rows are compared as they were meant"
    assert [(line["finding"], line["line"], line["shown"]) for line in reported(paths)] == [
        ("repaired_mojibake", 1, garbled),
        ("repaired_terminal_escapes", 1, "\x1b[31mred\x1b[0m"),
        ("repaired_normalisation", 1, "It is cafe\u0301."),
        ("repaired_mojibake", 2, f"{garbled} nearby"),
    ]
    kept = cleaned(paths, near_duplicate=None, repair=["terminal_escapes"])
    assert [turn["content"] for turn in kept["train"][0]["messages"]] == [garbled, "", "red", "It is cafe\u0301."]
    kept = cleaned(paths, near_duplicate=None, repair=[])
    assert kept["train"][0]["messages"][2]["content"] == "\x1b[31mred\x1b[0m"


def test_a_language_that_cannot_be_told_and_none_at_all_are_refused(paths: Paths) -> None:
    put(paths, "rows.jsonl", chat("Say hello.", split="train"))
    with pytest.raises(SettingsError, match=r"clean\.quality\.language\.wanted.*unknown language code xx; known: af, "):
        cleaned(paths, quality={"language": {"action": "drop", "wanted": ["en", "xx"]}})
    with pytest.raises(ValueError, match="needs to know which languages"):
        Settings.model_validate({"quality": {"language": {"action": "drop"}}})


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public data are not at ../shared/data")
@pytest.mark.parametrize(
    ("source", "reported"),
    [
        (
            "chat",
            {"boilerplate": 20, "conflicting_answers": 271, "conflicting_answers_of_test": 10,
             "conflicting_answers_of_validation": 16, "garbled": 4, "private_email": 9, "private_phone": 347,
             "private_secret": 13, "refusal": 10, "repaired_mojibake": 2, "repetition": 2, "truncated": 3},
        ),
        ("preference", {"refusal": 1, "repaired_control_characters": 1, "repaired_mojibake": 1, "truncated": 2}),
        pytest.param("docker", {"conflicting_answers": 13, "conflicting_answers_of_test": 2}, marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_public_data_lose_no_row_to_a_step(tmp_path: Path, source: str, reported: dict[str, int]) -> None:
    kept = cleaned(Paths(tmp_path), input=str(PUBLIC / source), test_share=0.05)
    assert json.loads((tmp_path / "data/clean/ledger.json").read_text())["reported"] == reported
    others = {"duplicate", "near_duplicate_of_test", "passage_of_test"}
    assert {left["reason"] for left in kept["left_out"]} <= others
