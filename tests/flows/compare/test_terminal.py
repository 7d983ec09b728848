"""Runs in a terminal: 80 columns whatever their names hold, and nothing that a terminal would obey."""

from dataclasses import replace

import pytest
from rich.cells import cell_len

from flows.compare import page as pages
from flows.compare.leaderboard import Entry, Leaderboard
from flows.compare.production import Promotion
from flows.compare.scores import Key, Score
from flows.compare.terminal import SHOWN, board_lines, history_lines, run_lines
from tests.flows.compare import made


def test_the_lines_of_a_run_have_80_columns() -> None:
    runs = [made.run(1, right=2, name="\x1b[31m名前" * 20), made.run(2, right=9), made.run(3, right=5)]
    runs[1].changed = ["data/own changed", "train.learning_rate 0.1 -> 0.2", "x" * 200, "y" * 40, "z" * 35, "w" * 70]
    runs[1].changed += ["v" * 70, "u"]
    runs[2].decision, runs[2].changed = {}, []
    lines = list(run_lines(runs))
    assert len(lines) == 11 and all(cell_len(line) <= 80 and "\x1b" not in line for line in lines)
    assert lines[0].split() == ["run", "commit", "exact", "match", "gain", "promotion"]
    assert lines[1].endswith("refused") and "0.200 (0.100-0.300)" in lines[1]
    assert lines[2] == "  refused by: gain over base"
    assert lines[4].startswith("run-2") and lines[4].endswith("allowed") and "+0.8" in lines[4]
    assert lines[5] == "  data/own changed; train.learning_rate 0.1 -> 0.2;"
    assert lines[6].startswith("  xxx") and lines[6].endswith("…;") and cell_len(lines[6]) == 80
    assert lines[7:10] == [f"  {'y' * 40}; {'z' * 35};", f"  {'w' * 70};", "  and 2 more"]
    assert lines[10].split() == ["run-3", "00000000", "-", "-", "none"]
    assert list(run_lines(runs * SHOWN))[-1] == f"{2 * SHOWN} older runs are only on the page."


def test_runs_on_different_test_rows_are_told_apart() -> None:
    runs = [made.run(number, right=5) for number in (1, 2, 3)]
    assert not any("est rows" in line for line in run_lines(runs))
    assert [run["test_rows"] for run in pages.page_data(runs, rows=False)["runs"]] == [None] * 3
    runs[1].outs = {"clean": {"data/clean/test.parquet": "cd" * 16}}
    lines = list(run_lines(runs))
    assert [line.split(";")[0].strip() for line in lines if line.startswith("  test rows")] == [
        f"test rows {letter}" for letter in "ABA"
    ]
    assert lines[-1] == "Test rows differ (A and B): compare scores only under the same letter."
    assert [run["test_rows"] for run in pages.page_data(runs, rows=False)["runs"]] == ["A", "B", "A"]


def test_the_history_says_what_replaced_what_when_by_whom_and_why() -> None:
    now = Promotion(
        "production", 2, "b" * 40, "v2", False, "ann", "2026-02-03T04:05:06Z", "0.7", "x " * 60, "a" * 40, True
    )
    lines = list(history_lines([now], {"b" * 40: "new", "a" * 40: "old"}, {}))
    assert lines[:4] == [
        "2026-02-03 04:05 production v2 (now)",
        "  new bbbbbbbbbb, by ann",
        "  replaced old aaaaaaaaaa",
        "  0.7",
    ]
    assert all(len(line) <= 80 for line in lines) and " ".join(lines[4:]).count("x") == 60


def test_the_history_lists_each_rule_once() -> None:
    says = {base: f"merged against {base}: +0.6 in F1; wanted: more than 0" for base in ("base", "base_system")}
    rules = {f"gain over {base}": {"passed": True, "limit": 0.0, "says": text} for base, text in says.items()}
    gains = [{"passed": True, "says": "merged against base and base_system: +0.6 in F1; wanted: more than 0"}]
    rules["gates"] = {"passed": False, "limit": 0, "says": "failed earlier: train"}
    rules["judged"] = {"passed": None, "limit": None, "says": "not checked"}
    gains = [{"passed": True, "says": "merged against base and base_system: +0.6 in F1; wanted: more than 0"}]
    reason = "merged against base and base_system: +0.6 in F1; failed earlier: train"
    scores = "merged: F1 0.9 (0.8 to 1, 10 rows); gain over base +0.6, p < 0.0001"
    first = Promotion(
        "production", 1, "b" * 40, "v1", False, "", "2026-02-03T04", scores, f"against the rules: {reason}"
    )
    again = replace(first, number=3, why=f"going back: against the rules: {reason}", current=True)
    lines = list(history_lines([again, first], {}, {"b" * 40: {"rules": rules, "gains": gains, "reason": reason}}))
    assert lines == [
        "2026-02-03 04 production v1 (now)",
        "  bbbbbbbbbb",
        "  going back: against the rules",
        "  merged: F1 0.9 (0.8 to 1, 10 rows)",
        "  ✓ merged against base and base_system: +0.6 in F1; wanted: more than 0",
        "  ✗ failed earlier: train",
        "",
        "2026-02-03 04 production v1",
        "  bbbbbbbbbb",
        "  against the rules",
    ]


def test_a_long_task_gives_way_to_its_metric() -> None:
    board = Leaderboard([("", "f1"), ("slice: new_combination", "exact_match")], [Entry("a/base", "run", {})])
    names = [line.rstrip(" -") for line in board_lines(board)][2:4]
    assert names == ["  F1", "  slice: new combinat… exact match"]


@pytest.mark.parametrize(
    ("whole", "name"), [((False, False), "adapter"), ((True, True), "tuned"), ((True, False), "adapter or tuned")]
)
def test_what_was_trained_goes_by_what_it_is(
    whole: tuple[bool, bool], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "promotions", list)
    runs = [made.run(number, right=5) for number in (1, 2)]
    for one, full in zip(runs, whole, strict=True):
        one.whole = full
        one.scores |= {Key("adapter", "", "exact_match"): Score(0.5)}
    data = pages.page_data(runs, rows=False)
    assert f"{name} exact match" in [score["name"] for score in data["scores"]]
    assert data["candidate_names"].get("adapter", "adapter") == name
