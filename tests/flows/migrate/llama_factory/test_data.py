"""Data sets of LLaMA-Factory: one becomes the input, several are mixed as its `mix_strategy` says."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.migrate.read import convert
from flows.params.defaults import defaults
from flows.params.model import model, overlay

HEAD = "stage: sft\nfinetuning_type: lora\n"
INFO = {
    "mine": {"file_name": "mine.jsonl"},
    "general": {"file_name": "general.jsonl", "num_samples": 500},
    "far": {"hf_hub_url": "org/far"},
}


@pytest.fixture(autouse=True)
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    Path("data").mkdir()
    Path("data/dataset_info.json").write_text(json.dumps(INFO))
    for name in ("mine", "general"):
        Path(f"data/{name}.jsonl").write_text("")


def converted(text: str) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """The section `clean`, and the lines by key; params.yaml takes the recipe."""
    Path("factory.yaml").write_text(HEAD + text)
    conversion = convert(Path("factory.yaml"))
    document = defaults(model())
    overlay(document, conversion.values)
    model().model_validate(document)
    return conversion.values.get("clean", {}), {line.key: (line.verdict, line.what) for line in conversion.lines}


MINE, GENERAL = {"files": "mine.jsonl"}, {"files": "general.jsonl", "cap": 500}


@pytest.mark.parametrize(
    ("text", "mix", "interleave"),
    [
        ("dataset: mine, general\n", [MINE, GENERAL], None),
        ("dataset: mine,general\nmix_strategy: concat\n", [MINE, GENERAL], None),
        ("dataset: mine,general\nmix_strategy: interleave_once\n", [MINE, GENERAL], None),
        ("dataset: mine,mine,general\n", [{**MINE, "share": 2}, GENERAL], None),
        ("dataset: [mine, general]\nmax_samples: 100\n", [{**MINE, "cap": 100}, {**GENERAL, "cap": 100}], None),
        (
            "dataset: mine,general\nmix_strategy: interleave_under\ninterleave_probs: 0.8,0.2\nseed: 7\n",
            [{**MINE, "probability": 0.8}, {**GENERAL, "probability": 0.2}],
            {"stop": "first_exhausted", "seed": 7},
        ),
        (
            "dataset: mine,general\nmix_strategy: interleave_over\ninterleave_probs: [0.5, 0.5]\n",
            [{**MINE, "probability": 0.5}, {**GENERAL, "probability": 0.5}],
            {"stop": "all_exhausted", "seed": 42},
        ),
        (
            "dataset: mine,general\nmix_strategy: interleave_over\n",
            [{**MINE, "probability": 0.5}, {**GENERAL, "probability": 0.5}],
            {"stop": "all_exhausted", "seed": 42},
        ),
    ],
)
def test_several_data_sets_are_parts_of_one_input(text: str, mix: Any, interleave: Any) -> None:
    clean, lines = converted(text)
    assert clean["input"] == "data"
    assert clean["mix"] == mix
    assert clean.get("interleave") == interleave
    assert lines["dataset[0]"][0] == "mapped"
    assert all(verdict != "refused" for verdict, _ in lines.values())


def test_strict_turns_are_told_to_become_chance() -> None:
    _, lines = converted("dataset: mine,general\nmix_strategy: interleave_over\n")
    assert "LLaMA-Factory takes strict turns" in lines["mix_strategy"][1]


@pytest.mark.parametrize(
    ("more", "key", "why"),
    [
        ("interleave_probs: 0.5,0.5\n", "interleave_probs", "concat takes all rows; LLaMA-Factory refuses it too"),
        ("mix_strategy: interleave_over\ninterleave_probs: 0.5\n", "interleave_probs", "one probability above 0 for"),
        ("mix_strategy: interleave_over\ninterleave_probs: 0.5,0.6\n", "interleave_probs", "and a sum of 1"),
        ("mix_strategy: interleave_over\ninterleave_probs: 1.5,-0.5\n", "mix_strategy", "and a sum of 1"),
        ("mix_strategy: shuffle\n", "mix_strategy", "clean.interleave"),
    ],
)
def test_what_cannot_be_mixed_is_refused(more: str, key: str, why: str) -> None:
    clean, lines = converted(f"dataset: mine,general\n{more}")
    assert lines[key][0] == "refused"
    assert why in lines[key][1]
    assert "interleave" not in clean


def test_data_sets_that_are_not_here_are_left_to_the_user() -> None:
    clean, lines = converted("dataset: mine,far\nmix_strategy: interleave_over\ninterleave_probs: 0.9,0.1\n")
    assert clean == {"input": "data/mine.jsonl"}
    assert lines["dataset[1]"][0] == lines["mix_strategy"][0] == lines["interleave_probs"][0] == "refused"
    assert "clean.interleave: {stop: all_exhausted}" in lines["mix_strategy"][1]


def test_other_files_beside_them_are_not_read() -> None:
    Path("data/demo.json").write_text("[]")
    clean, _ = converted("dataset: mine,general\n")
    assert clean["mix"] == [MINE, GENERAL, {"files": "*", "share": 0}]
    clean, lines = converted("dataset: mine,general\nmix_strategy: interleave_over\n")
    assert clean["mix"][-1]["files"] == "general.jsonl"
    assert lines["dataset[0]"] == (
        "refused",
        "they are in data too, but clean.interleave needs every file in a part of clean.mix: put the files of the mix "
        "into a folder of their own",
    )


def test_columns_that_differ_are_refused_by_name() -> None:
    described = {
        "mine": {"file_name": "mine.jsonl", "columns": {"prompt": "ask"}},
        "general": {"file_name": "general.jsonl", "columns": {"prompt": "question"}},
    }
    Path("data/dataset_info.json").write_text(json.dumps(described))
    clean, lines = converted("dataset: mine,general\n")
    assert clean["columns"] == {"question": "ask"}
    verdict, what = lines["dataset_info.json: general.columns.prompt"]
    assert verdict == "refused" and "clean.columns.question is ask" in what
