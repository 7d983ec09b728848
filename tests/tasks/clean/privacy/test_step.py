"""What `clean.privacy` does to rows: every text of a row, every action, and no value where none may be."""

import json
from typing import Any

import pytest
from pyarrow import parquet

from tasks.clean.filter_settings import Privacy
from tasks.clean.privacy.filter import PrivacyFilter
from tasks.clean.settings import Settings
from tasks.clean.stage import run
from tasks.core.errors import SettingsError
from tasks.core.paths import Paths

MAIL, OTHER, CALL, NET = "anna.schmidt@bergmann.de", "bob@quarry.cloud", "+49 30 23125 016", "84.23.117.9"
OUT = ("train", "validation", "test", "left_out")

TOOLS = {
    "messages": [
        {"role": "user", "content": f"mail {MAIL} and {OTHER}"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"type": "function", "function": {"name": "send", "arguments": json.dumps({"to": MAIL, "count": 2})}}
            ],
        },
        {"role": "tool", "content": f'{{"phone": {"442079460321"}, "password": "Xk4\\"mPq9zL", "to":"{MAIL}"}}'},
        {"role": "assistant", "content": f"Sent to {MAIL}."},
    ],
    "tools": [{"type": "function", "function": {"name": "send", "description": f"as {OTHER}"}}],
    "source": f"box of {MAIL}",
    "slice": OTHER,
}
PREFERENCE = {"prompt": f"who is {MAIL}", "chosen": "I do not know.", "rejected": f"{MAIL} is Anna, {CALL}."}
TEXT = {"text": f"logged in from {NET}"}
PLAIN = {"prompt": "what is a volume", "completion": "a place for data"}


def cleaned(paths: Paths, *rows: Any, **privacy: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Tables and ledger of the stage, run on the rows and one for the test."""
    test = {"prompt": "how are you", "completion": "fine", "split": "test"}
    lines = [row if isinstance(row, str) else json.dumps(row) for row in (*rows, test)]
    (paths.root / "input" / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines))
    settings = {"input": "input", "max_loss": 1, "validation_share": 0, "near_duplicate": None, "privacy": privacy}
    run(Settings.model_validate(settings), paths)
    tables = {name: parquet.read_table(paths.clean / f"{name}.parquet").to_pylist() for name in OUT}
    return tables, json.loads((paths.clean / "ledger.json").read_text())


def test_reported_rows_are_as_they_were_and_counted(paths: Paths) -> None:
    kinds = ("secret", "iban", "card", "email", "phone", "ip")
    cleaned(paths, TOOLS, PREFERENCE, TEXT, PLAIN, **dict.fromkeys(kinds, "off"))
    before = [(paths.clean / f"{name}.parquet").read_bytes() for name in OUT]
    _, ledger = cleaned(paths, TOOLS, PREFERENCE, TEXT, PLAIN)
    assert [(paths.clean / f"{name}.parquet").read_bytes() for name in OUT] == before
    assert ledger["privacy"]["email"] == {"action": "report", "rows": 2, "findings": 8}
    assert ledger["privacy"]["phone"] == {"action": "report", "rows": 2, "findings": 2}
    assert ledger["privacy"]["ip"] == {"action": "report", "rows": 1, "findings": 1}
    assert ledger["reported"]["private_email"] == 2
    assert "private_card" not in ledger["reported"]


def test_every_text_of_a_row_is_redacted_and_json_stays_json(paths: Paths) -> None:
    tables, ledger = cleaned(paths, TOOLS, PREFERENCE, TEXT, email="redact", phone="redact", ip="redact")
    tool, preference, text = tables["train"]
    assert tool["messages"][0]["content"] == "mail [email 1] and [email 2]"
    call = json.loads(tool["messages"][1]["extra"])["tool_calls"][0]["function"]
    assert json.loads(call["arguments"]) == {"to": "[email 1]", "count": 2}
    result = json.loads(tool["messages"][2]["content"])
    assert result == {"phone": "[phone]", "password": 'Xk4"mPq9zL', "to": "[email 1]"}
    assert json.loads(tool["tools"])[0]["function"]["description"] == "as [email 2]"
    assert (tool["source"], tool["slice"]) == ("box of [email]", "[email]")
    assert preference["prompt"][0]["content"] == "who is [email]"
    assert preference["rejected"][0]["content"] == "[email] is Anna, [phone]."
    assert text["text"] == "logged in from [ip]"
    assert ledger["privacy"]["email"]["action"] == "redact"
    assert ledger["reported"]["redacted_email"] == 2
    assert ledger["reported"]["private_secret"] == 1


def test_rows_are_dropped_for_their_kind(paths: Paths) -> None:
    tables, ledger = cleaned(paths, TOOLS, PREFERENCE, TEXT, PLAIN, phone="drop", ip="drop")
    assert ledger["left"] == {"private_phone": 2, "private_ip": 1}
    assert len(tables["train"]) == 1
    assert ledger["privacy"]["phone"] == {"action": "drop", "rows": 2, "findings": 2}


def test_what_left_for_any_reason_is_without_the_values(paths: Paths) -> None:
    broken = f'{{"prompt": "mail {MAIL}, '
    turned = {"messages": [{"role": "assistant", "content": f"I am {OTHER}"}, {"role": "user", "content": "hm"}]}
    twice = {"prompt": f"who is {MAIL}", "completion": "Anna"}
    tables, ledger = cleaned(paths, PLAIN, broken, turned, twice, twice, TOOLS, email="redact", phone="drop")
    assert ledger["left"] == {"parse_error": 1, "no_answer": 1, "duplicate": 1, "private_phone": 1}
    for row in tables["left_out"]:
        assert "[email" in row["row"], row["reason"]
    assert json.loads(next(row["row"] for row in tables["left_out"] if row["reason"] == "duplicate")) == {
        "prompt": "who is [email]",
        "completion": "Anna",
    }
    written = json.dumps(tables) + "".join(path.read_text() for path in paths.clean.glob("*.json"))
    assert not [value for value in (MAIL, OTHER, "442079460321") if value in written]


def test_the_profile_and_the_ledger_never_show_a_value(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    near = [{"text": f"{TOOLS['messages'][0]['content']} {CALL} {NET} about the order {end}"} for end in ("one", "two")]  # type: ignore[index]
    (paths.root / "input" / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in (*near, TOOLS, TOOLS, {**PLAIN, "split": "test"}))
    )
    run(Settings(input="input", max_loss=1, near_duplicates_within=0.8), paths)
    written = "".join(path.read_text() for path in paths.clean.glob("*.json")) + "".join(capsys.readouterr())
    assert not [value for value in (MAIL, OTHER, CALL, NET, 'Xk4"mPq9zL') if value in written]
    profile = json.loads((paths.clean / "profile.json").read_text())
    assert "[email 1] and [email 2]" in profile["clusters"][0]["example"]
    assert "[email 1]" in profile["left_out"]["duplicate"][0]["row"]


def test_rows_that_differ_only_in_what_is_redacted_are_one(paths: Paths) -> None:
    rows = [{"prompt": f"write to {mail}", "completion": "done"} for mail in (MAIL, OTHER)]
    _, ledger = cleaned(paths, *rows, email="redact")
    assert ledger["left"] == {"duplicate": 1}


def test_what_is_nested_too_deep_leaves(paths: Paths) -> None:
    deep = {**PLAIN, "messages": None}
    deep["messages"] = [  # type: ignore[assignment]
        {"role": "user", "content": "[" * 20_000 + f'"{MAIL}"' + "]" * 20_000},
        {"role": "assistant", "content": "well"},
    ]
    tables, ledger = cleaned(paths, PLAIN, deep, email="redact")
    assert ledger["left"] == {"too_deep": 1}
    assert MAIL not in tables["left_out"][0]["row"]


def test_a_country_without_telephones_is_an_error() -> None:
    with pytest.raises(SettingsError, match="phone_regions: XX is not a country code"):
        PrivacyFilter(Privacy(phone_regions=("US", "XX")))
