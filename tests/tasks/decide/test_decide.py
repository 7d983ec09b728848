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


def test_what_was_free_must_be_beaten_in_each_way(run: Paths) -> None:
    replaced(run, "base_few_shot", hits(29))
    decision = tiny.decided(run)
    assert failed(decision) == ["gain over base_few_shot"]
    assert "merged against base_few_shot: +0.025 " in decision["rules"]["gain over base_few_shot"]["says"]


def test_a_gain_that_is_sure_but_small(run: Paths) -> None:
    decision = tiny.decided(run, gain=0.5)
    assert failed(decision) == ["gain over base_few_shot"], "0.45 there, 0.55 over base"
    assert decision["rules"]["gain over base_few_shot"]["says"].endswith("with p below 0.05, 0.05 more")


@pytest.mark.parametrize(("right", "limit", "rules"), [(29, 0.05, []), (27, 0.05, ["quantised_loss"]), (0, None, [])])
def test_quantised_models_may_lose_so_much(run: Paths, right: int, limit: float | None, rules: list[str]) -> None:
    replaced(run, "nf4", hits(right))
    decision = tiny.decided(run, quantised_loss=limit)
    assert failed(decision) == rules
    if rules:
        assert "nf4 loses 0.075 against merged" in decision["rules"]["quantised_loss"]["says"]
        assert "allowed: 0.05, 0.025 too much" in decision["rules"]["quantised_loss"]["says"]


def test_forgetting(run: Paths) -> None:
    tiny.benchmark(run, "base", 30)
    tiny.benchmark(run, "merged", 26)
    decision = tiny.decided(run)
    assert failed(decision) == ["forgetting"]
    assert "arc (acc) loses 0.1 against the base" in decision["rules"]["forgetting"]["says"]
    assert failed(tiny.decided(run, forgetting=0.1)) == []
    (comparisons,) = tiny.read(run.decision / "comparisons.json")["benchmarks"]
    assert (comparisons["before"], comparisons["after"], comparisons["wins"], comparisons["losses"]) == (
        0.75,
        0.65,
        0,
        4,
    )


def test_perplexities_are_compared_by_their_ratio(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    tiny.ledgers(paths)
    tokens = [float(1 + number % 4) for number in range(ROWS)]
    losses = {"base": 1.25, "base_system": 1.25, "base_few_shot": 1.25, "adapter": 1.0, "merged": 1.0, "nf4": 1.02}
    for number, (candidate, loss) in enumerate(losses.items()):
        varied = [loss + 0.01 * ((row * 7 + number) % 3 - 1) for row in range(ROWS)]
        evaluated(paths, candidate, {"perplexity": varied, "perplexity_tokens": tokens})
    decision = tiny.decided(paths, gain=0.1)
    says = decision["rules"]["gain over base"]["says"]
    assert says.startswith("merged against base: times 0.77")  # e^-0.25 = 0.7788
    assert "wanted: at most times 0.9048 with p below 0.05" in says  # e^-0.1
    low, high = (float(bound) for bound in says.partition("interval ")[2].partition(",")[0].split(" to "))
    assert 0.7 < low < 0.7788 < high < 0.85
    assert (decision["metric"], decision["better"], decision["promote"]) == ("perplexity", "lower", True)
    nf4 = decision["rules"]["quantised_loss"]["says"]
    assert nf4.startswith("perplexity of nf4 against merged: times 1.02")
    assert nf4.endswith("allowed: times 1.051")  # e^0.05


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
