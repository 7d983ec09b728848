"""What earlier runs made of pieces of the input is taken as it is, and the output is that of a run from nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.clean import build, pieces
from tasks.clean.settings import Settings
from tasks.clean.stage import run
from tasks.core.paths import Paths

ROWS = [
    {"messages": [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "It is 4."}]},
    {"instruction": "Write to me.", "output": "Mail ann@firma.de, or ring +1 650-253-0000.", "page": 3, "level": 2},
    {"instruction": "Say nothing.", "output": "As an AI language model, I cannot.", "level": "high"},
    {"prompt": "b?", "chosen": "yes", "rejected": "no", "\ud83d": 1, "slice": "a"},
    {"prompt": "b?", "completion": "yes", "label": True, "weight": 0.5},
    {"text": "caf\u00c3\u00a9 in a text of some words", "reasoning": "why", "split": "test"},
    {"unknown": 1},
    {"problem": "2?", "solution": "2", "answer": "2"},
    {
        "messages": [
            {"role": "user", "content": "Run it."},
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "run", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "done"},
            {"role": "assistant", "content": "It ran."},
        ]
    },
]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records of each piece that is worked on; all in this process."""
    monkeypatch.setattr(pieces, "ROWS", 4)
    monkeypatch.setattr("tasks.engine.local.cores", lambda: 1)
    counts: list[int] = []

    def make(work: build.Work, piece: pieces.Piece) -> Any:
        counts.append(len(piece.parts))
        return original(work, piece)

    original = build.Work.make
    monkeypatch.setattr(build.Work, "make", make)
    return counts


def cleaned(root: Path, count: int, **settings: Any) -> dict[str, bytes]:
    (root / "rows").mkdir(exist_ok=True)
    for name, rows in (("a.jsonl", ROWS[:6]), ("b.jsonl", [*ROWS, *ROWS][:count])):
        (root / "rows" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"ignored": ["reasoning"]}
    chosen = {"input": "rows", "max_loss": 1, "test_share": 0.1, "near_duplicates_within": 0.8, "columns": columns}
    run(Settings.model_validate({**chosen, "privacy": {"email": "redact"}, **settings}), Paths(root))
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / "data").rglob("*") if path.is_file()}


def test_rows_that_are_added_are_the_only_ones_that_are_worked_on(tmp_path: Path, built: list[int]) -> None:
    (tmp_path / ".dvc").mkdir()
    whole = tmp_path / "whole"
    whole.mkdir()
    first = cleaned(tmp_path, 9)
    assert built == [4, 2, 4, 4, 1]
    built.clear()
    assert cleaned(tmp_path, 9) == first
    assert built == []
    added = cleaned(tmp_path, 13)
    assert built == [4, 1]
    assert added == cleaned(whole, 13) != first


@pytest.mark.parametrize(
    ("settings", "anew"),
    [
        ({"validation_share": 0.3, "duplicates": False, "conflicts": "drop", "passage": 3}, False),
        ({"quality": {"refusal": "drop"}}, True),
        ({"privacy": {"email": "report"}}, True),
        ({"near_duplicates_within": 0.7}, True),
        ({"near_duplicates_within": None}, True),
        ({"repair": []}, True),
        ({"group": "level"}, True),
        ({"mix": [{"files": "b.jsonl"}]}, True),
        ({"splits": {"train": ["b.jsonl"], "test": ["a.jsonl"]}}, True),
    ],
)
def test_parts_that_other_settings_made_are_taken_only_where_nothing_of_it_would_differ(
    tmp_path: Path, built: list[int], settings: dict[str, Any], anew: bool
) -> None:
    (tmp_path / ".dvc").mkdir()
    whole = tmp_path / "whole"
    whole.mkdir()
    cleaned(tmp_path, 9)
    built.clear()
    output = cleaned(tmp_path, 9, **settings)
    assert bool(built) is anew
    assert output == cleaned(whole, 9, **settings)


def test_every_setting_between_rows_is_one() -> None:
    assert set(Settings.model_fields) > build.BETWEEN_ROWS
