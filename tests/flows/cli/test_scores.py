"""The table of scores: every metric stands in it, and no line is wider than the terminal."""

from pathlib import Path

import pytest
from rich.console import Console

from flows.cli.progress import tables
from flows.results.scores import legend, rows
from tasks.core.files import write_json

SHOWN = {
    "exact_match": "exact match",
    "rougeL": "ROUGE-L",
    "json_valid": "JSON valid",
    "perplexity": "perplexity",
    "normalised_match": "normalised match",
    "tool_calls": "tool calls",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "ndcg_at_10": "nDCG@10",
}
"""Metrics, and what they are called in the table."""

METRICS = tuple(SHOWN)


def comparison(metrics: tuple[str, ...]) -> None:
    """Scores of three candidates, by metric and in two slices."""
    score = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 1000, "better": "higher"}
    scores = dict.fromkeys(metrics, score)
    slices = {"new_combination": scores, "new_phrasing": scores}
    candidates = {name: {**scores, "slices": slices} for name in ("base_few_shot", "merged", "gguf-q8_0")}
    write_json(Path("data/report/comparison.json"), {"candidates": candidates})
    write_json(Path("data/decision/decision.json"), {"metric": metrics[0]})


def printed(width: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    console = Console(width=width, highlight=False)
    for block in tables(rows(), console.width):
        console.print(block)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_every_metric_stands_in_a_table_that_fits(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    comparison(METRICS)
    lines = printed(width, capsys)
    heads = [line for line in lines if line.startswith("candidate")]
    assert all(sum(name in head for head in heads) == 1 for name in SHOWN.values())
    assert all("…" not in line and len(line) <= width for line in lines)
    assert len(lines) == 4 * len(heads), "no cell is wrapped, and each block names the candidates"


def test_one_metric_takes_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    comparison(METRICS[:1])
    head, *lines = printed(80, capsys)
    assert " ".join(head.split()) == "candidate exact match 95 % interval rows new combination new phrasing"
    assert [line.split()[0] for line in lines] == ["base_few_shot", "gguf-q8_0", "merged"]


@pytest.mark.parametrize(("method", "name"), [("lora", "adapter"), ("full", "tuned")])
def test_a_model_that_was_tuned_whole_is_not_called_an_adapter(
    method: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    score = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 1000, "better": "higher"}
    candidates = {key: {"exact_match": score, "slices": {}} for key in ("adapter", "merged")}
    write_json(Path("data/report/comparison.json"), {"candidates": candidates})
    write_json(Path("data/merged/merge.json"), {"method": method})
    write_json(Path("data/evaluation/base/settings.json"), {"metrics": [{"kind": "exact_match"}]})
    assert [row["candidate"] for row in rows()] == [name, "merged"]
    about = "tuned: the model as it was trained (in settings: adapter); merged: as merge wrote it"
    assert (about in legend()) == (method == "full") and legend()[0].startswith("exact match: ")
