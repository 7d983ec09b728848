"""Deciding: rows are compared in pairs, each rule can fail by itself, and says by how much."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, SettingsError
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tests.tasks import tiny

ROWS = 40


def hits(right: int) -> dict[str, list[float]]:
    """The first `right` of the rows answered rightly."""
    return {"exact_match": [float(number < right) for number in range(ROWS)]}


def evaluated(paths: Paths, candidate: str, scored: dict[str, list[float]]) -> None:
    outputs = [f"{candidate} {number}" for number in range(len(next(iter(scored.values()))))]
    tiny.evaluation(paths, candidate, scored, outputs)


@pytest.fixture
def run(tmp_path: Path) -> Paths:
    """A good run: the base right in 8 of 40 rows, the tuned model in 30, a quantised one in 29."""
    paths = Paths(tmp_path)
    tiny.ledgers(paths)
    rights = {"base": 8, "base_system": 9, "base_few_shot": 12, "adapter": 30, "merged": 30, "nf4": 29}
    for candidate, right in rights.items():
        evaluated(paths, candidate, hits(right))
    return paths


def failed(decision: dict[str, Any]) -> list[str]:
    return [rule for rule, comparisons in decision["rules"].items() if comparisons["passed"] is False]


def replaced(paths: Paths, candidate: str, scored: dict[str, list[float]]) -> None:
    import shutil

    shutil.rmtree(paths.evaluation(candidate))
    evaluated(paths, candidate, scored)


def test_a_good_run_is_promoted(run: Paths) -> None:
    decision = tiny.decided(run)
    assert decision["promote"] is True and failed(decision) == []
    assert (decision["candidate"], decision["metric"], decision["value"]) == ("merged", "exact_match", 0.75)
    assert decision["gain"] == 0.55
    assert decision["p"] < 1e-5
    assert decision["rules"]["forgetting"]["passed"] is None, "nothing to judge by"
    comparisons = tiny.read(run.decision / "comparisons.json")["comparisons"]
    pairs = {(one["candidate"], one["against"]) for one in comparisons}
    assert pairs == {
        *((name, free) for name in ("adapter", "merged", "nf4") for free in ("base", "base_system", "base_few_shot")),
        ("adapter", "merged"),
        ("nf4", "merged"),
    }


def test_where_no_row_differs_no_number_of_rows_is_named(run: Paths) -> None:
    """Without a spread the formula would say that two rows are enough."""
    for candidate in ("base", "adapter", "merged"):
        replaced(run, candidate, hits(0))
    says = tiny.decided(run)["rules"]["gain over base"]["says"]
    assert says.endswith(
        "; on each of 40 rows both score alike, so nothing tells how many rows would show a difference"
    )
    assert "would take" not in says


def test_what_align_made_is_told_beside_what_train_had_made(run: Paths) -> None:
    """It judges nothing: the gain over the base does. Six of 40 rows lost: exact sign test 2 * 0.5**6 = 0.03125."""
    evaluated(run, "trained", hits(36))
    decision = tiny.decided(run)
    assert decision["promote"] is True
    rule = decision["rules"]["alignment"]
    assert (rule["passed"], rule["value"], rule["limit"]) == (None, -0.15, None)
    assert "-0.1500 in exact_match (95 % interval " in rule["says"] and "p = 0.031" in rule["says"]
    comparisons = tiny.read(run.decision / "comparisons.json")["comparisons"]
    (step,) = (one for one in comparisons if one["against"] == "trained")
    assert (step["candidate"], step["against"], step["wins"], step["losses"], step["ties"]) == (
        "adapter", "trained", 0, 6, 34,
    )  # fmt: skip
    assert step["low"] < -0.15 < step["high"] < 0
    replaced(run, "trained", hits(31))
    assert tiny.decided(run)["rules"]["alignment"]["says"].endswith("it may be chance")


def test_what_was_free_must_be_beaten_in_each_way(run: Paths) -> None:
    replaced(run, "base_few_shot", hits(29))
    decision = tiny.decided(run)
    assert failed(decision) == ["gain over base_few_shot"]
    assert "merged against base_few_shot: +0.0250" in decision["rules"]["gain over base_few_shot"]["says"]


def test_a_gain_that_is_sure_but_small(run: Paths) -> None:
    decision = tiny.decided(run, gain=0.5)
    assert failed(decision) == ["gain over base_few_shot"], "0.45 there, 0.55 over base"
    assert decision["rules"]["gain over base_few_shot"]["says"].endswith("with p below 0.05, 0.0500 more")


@pytest.mark.parametrize(("right", "limit", "rules"), [(29, 0.05, []), (27, 0.05, ["quantised_loss"]), (0, None, [])])
def test_quantised_models_may_lose_so_much(run: Paths, right: int, limit: float | None, rules: list[str]) -> None:
    replaced(run, "nf4", hits(right))
    decision = tiny.decided(run, quantised_loss=limit)
    assert failed(decision) == rules
    if rules:
        assert "nf4 loses 0.0750 against merged" in decision["rules"]["quantised_loss"]["says"]
        assert "allowed: 0.05, 0.0250 too much" in decision["rules"]["quantised_loss"]["says"]


def test_forgetting(run: Paths) -> None:
    tiny.benchmark(run, "base", 30)
    tiny.benchmark(run, "merged", 26)
    decision = tiny.decided(run)
    assert failed(decision) == ["forgetting"]
    assert "arc (acc) loses 0.1000 against the base" in decision["rules"]["forgetting"]["says"]
    assert failed(tiny.decided(run, forgetting=0.1)) == []
    (comparisons,) = tiny.read(run.decision / "comparisons.json")["benchmarks"]
    assert (comparisons["before"], comparisons["after"], comparisons["wins"], comparisons["losses"]) == (
        0.75,
        0.65,
        0,
        4,
    )


def test_the_run_promoted_last(run: Paths) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    run.best.mkdir()
    best = {"id": [f"row{number}" for number in range(ROWS)], "exact_match": [1.0] * 35 + [0.0] * 5}
    pq.write_table(pa.table(best), run.best / "scores.parquet")
    assert failed(tiny.decided(run)) == [], "told, but no rule"
    assert tiny.read(run.decision / "comparisons.json")["best"]["difference"] == -0.125
    assert failed(tiny.decided(run, best_loss=0.1)) == ["best_loss"]


def test_gates_before(run: Paths) -> None:
    ledger = tiny.read(run.clean / "ledger.json")
    write_json(run.clean / "ledger.json", {**ledger, "in": 40})
    decision = tiny.decided(run)
    assert failed(decision) == ["gates"]
    assert decision["rules"]["gates"]["says"] == "failed before: clean lost 4 rows without a reason"


def test_candidates_that_were_asked_in_other_words(run: Paths) -> None:
    """Scores of a stale evaluation, or a template that changed between two of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = run.evaluation("nf4") / "predictions.parquet"
    table = pq.read_table(file)
    outputs = [None, *(f"{prompt}!" for prompt in table["prompt"].to_pylist()[1:3]), *table["prompt"].to_pylist()[3:]]
    column = table.column_names.index("prompt")
    pq.write_table(table.set_column(column, "prompt", pa.array(outputs, pa.string())), file)
    tiny.benchmark(run, "base", 30)
    tiny.benchmark(run, "merged", 30, prompts="other")
    decision = tiny.decided(run)
    assert failed(decision) == ["gates"]
    assert "nf4 was asked 2 of 40 rows in other words than base" in decision["rules"]["gates"]["says"]
    assert "the benchmark arc was asked in other words before" in decision["rules"]["gates"]["says"]


def test_the_base_evaluated_in_place_of_the_tuned_model(run: Paths) -> None:
    """A loader that drops the adapter: the same answer to every row."""
    import shutil

    for candidate in ("adapter", "merged"):
        shutil.rmtree(run.evaluation(candidate))
        tiny.evaluation(run, candidate, hits(8), [f"base {number}" for number in range(ROWS)])
    decision = tiny.decided(run)
    assert "gates" in failed(decision)
    assert "the base was evaluated twice" in decision["rules"]["gates"]["says"]


def test_several_metrics_are_corrected_for(run: Paths) -> None:
    import shutil

    for candidate in ("base", "base_system", "base_few_shot", "adapter", "merged", "nf4"):
        columns = tiny.read(run.evaluation(candidate) / "scores.json")
        right = round(columns["metrics"]["exact_match"]["value"] * ROWS)
        shutil.rmtree(run.evaluation(candidate))
        evaluated(
            run, candidate, {**hits(right), "f1": [0.5 + right / 100] * ROWS, "contains": hits(right)["exact_match"]}
        )
    tiny.decided(run)
    comparisons = tiny.read(run.decision / "comparisons.json")["comparisons"]
    family = {
        one["metric"]: one for one in comparisons if (one["candidate"], one["against"]) == ("merged", "base_few_shot")
    }
    assert family["exact_match"]["p_adjusted"] == pytest.approx(3 * family["exact_match"]["p"], rel=1e-3)
    assert family["f1"]["test"] == "sign flips" and family["exact_match"]["test"] == "exact McNemar"
    assert tiny.decided(run, metric="f1")["metric"] == "f1"


def test_same_bytes_twice(run: Paths) -> None:
    tiny.decided(run)
    before = [file.read_bytes() for file in sorted(run.decision.iterdir())]
    tiny.decided(run)
    assert [file.read_bytes() for file in sorted(run.decision.iterdir())] == before


def test_other_rows_are_no_comparison(run: Paths) -> None:
    replaced(run, "merged", {"exact_match": [1.0] * 39})
    with pytest.raises(InputError, match="merged: not the rows and metrics of"):
        tiny.decided(run)


def test_unknown_names(run: Paths) -> None:
    with pytest.raises(SettingsError, match=r"candidate = 'q3': not evaluated; known: adapter, merged, nf4"):
        tiny.decided(run, candidate="q3")
    with pytest.raises(SettingsError, match=r"candidate = 'mergd': not evaluated; did you mean 'merged'"):
        tiny.decided(run, candidate="mergd")
    with pytest.raises(SettingsError, match=r"candidate = 'base': the base is what is to be beaten"):
        tiny.decided(run, candidate="base")
    with pytest.raises(SettingsError, match=r"metric = 'bleu': not in evaluate.metrics; known: exact_match"):
        tiny.decided(run, metric="bleu")
