"""Training rows that are repeated by a share, or drawn from the parts of a mix by turns."""

import json
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.clean import write
from tasks.clean.settings import Settings
from tasks.clean.stage import validate
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate.questions import rows
from tests.tasks.clean.test_clean import chat, cleaned, put
from tests.tasks.clean.test_cross_row import asked, paths

__all__ = ["paths"]


def ledger(paths: Paths) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(paths.ledger.read_text())
    return values


def fill(paths: Paths, **sizes: int) -> None:
    for name, size in sizes.items():
        put(paths, f"{name}.jsonl", *(chat(f"{name} number {n}", split="train") for n in range(size)))


def test_a_share_above_one_repeats_training_rows_and_the_ledger_says_how_many(paths: Paths) -> None:
    fill(paths, own=200, general=50)
    put(paths, "more.jsonl", chat("own number 3", split="train"), chat("held out", split="validation"))
    mix = [{"files": "own*", "share": 2.5}, {"files": "more*", "share": 4}]
    tables = cleaned(paths, mix=mix)
    times = Counter(asked(tables["train"]))
    own = Counter(times[f"own number {n}"] for n in range(200))
    assert times["own number 3"] == 4  # of both files the first row stays, which belongs to the other part
    assert own.pop(4) == 1
    assert set(own) == {2, 3}
    assert 70 < own[3] < 130
    assert {times[f"general number {n}"] for n in range(50)} == {1}
    assert asked(tables["validation"]) == ["held out"]  # those that are measured on are never repeated
    assert len({row["id"] for row in tables["train"]}) == len(tables["train"])
    facts = ledger(paths)
    assert facts["out"] == {"train": len(tables["train"]), "validation": 1, "test": 1}
    assert facts["left"] == {"duplicate": 1}
    assert facts["in"] == 253
    assert facts["repeated"] == len(tables["train"]) - 250 == 199 + own[3] + 3
    assert cleaned(paths, mix=mix) == tables
    shown, _ = rows(paths.rows("train"))
    assert len(shown) == 250  # nobody sees an example twice


def test_what_a_cap_takes_is_repeated_by_a_draw_of_its_own(paths: Paths) -> None:
    fill(paths, own=400)
    times = Counter(
        asked(cleaned(paths, mix=[{"files": "own*", "share": 1.5, "cap": 100}], validation_share=0)["train"])
    )
    assert len(times) == 100
    assert 30 < sum(count == 2 for count in times.values()) < 70
    assert ledger(paths)["left"] == {"not_sampled": 300}


@pytest.mark.parametrize("stop", ["first_exhausted", "all_exhausted"])
@pytest.mark.parametrize("sizes", [(40, 1500), (1500, 40), (7, 7)])
def test_turns_are_those_of_datasets(
    paths: Paths, stop: str, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import Dataset, interleave_datasets

    monkeypatch.setattr(write, "MOST_ROWS", 64)  # several batches, of which a part has few
    fill(paths, own=sizes[0], general=sizes[1])
    parts = [Dataset.from_dict({"text": [f"{name} number {n}" for n in range(size)]}) for name, size in
             zip(("own", "general"), sizes, strict=True)]  # fmt: skip
    wanted = interleave_datasets(parts, [0.3, 0.7], seed=5, stopping_strategy=stop)["text"]
    mix = [{"files": "own*", "probability": 0.3}, {"files": "general*", "probability": 0.7}]
    tables = cleaned(paths, mix=mix, interleave={"stop": stop, "seed": 5}, validation_share=0)
    assert asked(tables["train"]) == list(wanted)
    facts, distinct = ledger(paths), len(set(wanted))
    assert facts["out"] == {"train": len(wanted), "test": 1}
    assert facts["left"].get("not_sampled", 0) == sum(sizes) - distinct == len(tables["left_out"])
    assert facts.get("repeated", 0) == len(wanted) - distinct
    assert facts["in"] == 1 + sum(sizes)
    assert len({row["id"] for row in tables["train"]}) == len(wanted)


def test_turns_keep_equal_ids_apart_and_leave_the_other_splits_alone(paths: Paths) -> None:
    fill(paths, own=30, general=100)
    twice = chat("own number 3", split="train"), chat("own validated", split="validation")
    put(paths, "own2.jsonl", *[{**row, "source": "own.jsonl"} for row in twice])
    tables = cleaned(
        paths,
        duplicates=False,
        mix=[{"files": "own*", "probability": 0.5}, {"files": "general*", "probability": 0.5}],
        interleave={"stop": "all_exhausted"},
        validation_share=0,
    )
    assert asked(tables["validation"]) == ["own validated"]
    names = [row["id"] for row in tables["train"]]
    assert len(set(names)) == len(names)
    assert sum("-2" in name for name in names) > 1


def test_what_cannot_be_interleaved_is_refused(paths: Paths) -> None:
    fill(paths, own=3, general=900)
    mix = [{"files": "own*", "probability": 0.999}, {"files": "general*", "probability": 0.001}]
    rule = {"interleave": {"stop": "all_exhausted"}}
    with pytest.raises(InputError, match=r"rows of 'own\*' would be drawn more than 100 times before all others are"):
        cleaned(paths, mix=mix, **rule)
    assert not paths.rows("train").exists()
    with pytest.raises(InputError, match=r"the part 'general\*' of clean.mix has no training rows left; remove it"):
        cleaned(paths, mix=[mix[0], {**mix[1], "share": 0}], **rule)
    put(paths, "third.jsonl", chat("third", split="train"))
    with pytest.raises(
        InputError, match=r"some training rows belong to no part of clean\.mix; add a part for their files"
    ):
        cleaned(paths, mix=mix, **rule)
    with pytest.raises(InputError, match=r"third\.jsonl belongs to no part of clean\.mix"):
        validate(Settings.model_validate({"input": "input", "mix": mix, **rule}), paths)


ONE, OTHER = {"files": "a*", "probability": 0.5}, {"files": "b*", "probability": 0.5}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mix": [{"files": "a*", "share": -0.1}]}, "greater than or equal to 0"),
        ({"mix": [{"files": "a*", "share": float("nan")}]}, "mix.0.share"),
        ({"mix": [{"files": "a*", "share": float("inf")}]}, "finite number"),
        ({"mix": [{"files": "a*", "share": 101}]}, "less than or equal to 100"),
        ({"mix": [ONE]}, "probability has no effect without interleave"),
        ({"mix": [ONE], "interleave": {}}, "define at least two parts"),
        ({"interleave": {}}, "define at least two parts"),
        ({"mix": [ONE, {"files": "b*"}], "interleave": {}}, "'b\\*' has none"),
        ({"mix": [ONE, {**OTHER, "share": 2}], "interleave": {}}, "set the share of 'b\\*' to at most 1"),
        ({"mix": [ONE, {**OTHER, "probability": 0.4}], "interleave": {}}, "add up to 0.9, but must add up to 1"),
        ({"mix": [ONE, {**OTHER, "probability": 0}], "interleave": {}}, "greater than 0"),
        ({"mix": [ONE, {**OTHER, "probability": float("nan")}], "interleave": {}}, "mix.1.probability"),
        ({"mix": [ONE, OTHER], "interleave": {"stop": "never"}}, "first_exhausted"),
        ({"mix": [{"files": ""}]}, "is not a pattern for file names"),
        ({"splits": {"test": ["."]}}, "is not a pattern for file names"),
    ],
)
def test_a_mix_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(values)


def test_markdown_is_a_document_where_rows_are_texts(paths: Paths) -> None:
    put(paths, "pages/one.md", "# One\n\nA page.")
    put(paths, "README.md", "A card of the rows.")
    put(paths, "two.markdown", "Another page, split by nothing.")
    put(paths, "rows.jsonl", {"text": "A row."}, {"text": "A row for the test.", "split": "test"})
    (paths.root / "input" / "exam.jsonl").unlink()
    mix = [{"files": "*.md", "share": 2}]
    tables = cleaned(paths, shape="text", mix=mix, validation_share=0, near_duplicate=None)
    assert sorted(row["text"] for row in tables["train"]) == [
        "# One\n\nA page.\n", "# One\n\nA page.\n", "A row.", "Another page, split by nothing.\n"
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"no file in .* matches '\*\.md'"):
        cleaned(paths, mix=mix)
