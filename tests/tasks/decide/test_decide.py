"""Deciding: rows are compared in pairs, each rule can fail by itself, and says by how much."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.results.decision import rule_lines
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
    assert (
        decision["reason"].startswith("merged against base: +0.55 in ") and "base_few_shot: +0.45" in decision["reason"]
    )
    gates = decision["rules"]["gates"]["says"]
    for gate in ("every row is accounted for", "failed the audit", "the same prompts", "not answer as the base"):
        assert gate in gates
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


def test_what_align_made_is_told_beside_what_train_had_made(run: Paths) -> None:
    """It judges nothing: the gain over the base does. Six of 40 rows lost: exact sign test 2 * 0.5**6 = 0.03125."""
    evaluated(run, "trained", hits(36))
    decision = tiny.decided(run)
    assert decision["promote"] is True
    rule = decision["rules"]["alignment"]
    assert (rule["passed"], rule["value"], rule["limit"]) == (None, -0.15, None)
    assert "-0.15 in exact match (95 % interval " in rule["says"] and "p = 0.031" in rule["says"]
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
    assert "merged against base_few_shot: +0.025 " in decision["rules"]["gain over base_few_shot"]["says"]


def test_a_gain_that_is_sure_but_small(run: Paths) -> None:
    decision = tiny.decided(run, gain=0.5)
    assert failed(decision) == ["gain over base_few_shot"], "0.45 there, 0.55 over base"
    assert decision["rules"]["gain over base_few_shot"]["says"].endswith(
        "with p below 0.05; the gain is 0.05 too small"
    )


@pytest.mark.parametrize(("right", "limit", "rules"), [(29, 0.05, []), (27, 0.05, ["quantised_loss"]), (0, None, [])])
def test_quantised_models_may_lose_so_much(run: Paths, right: int, limit: float | None, rules: list[str]) -> None:
    replaced(run, "nf4", hits(right))
    decision = tiny.decided(run, quantised_loss=limit)
    assert failed(decision) == rules
    if rules:
        assert "nf4 loses 0.075 against merged" in decision["rules"]["quantised_loss"]["says"]
        assert "allowed: 0.05, 0.025 too much" in decision["rules"]["quantised_loss"]["says"]


def test_a_rule_that_holds_says_where_the_rows_allow_for_a_larger_loss(run: Paths) -> None:
    replaced(run, "nf4", hits(30))
    same = "nf4 does no worse than merged (95 % interval of the difference -0.0722 to 0.0722); allowed: "
    assert tiny.decided(run, quantised_loss=0.08)["rules"]["quantised_loss"]["says"] == f"{same}0.08"
    rule = tiny.decided(run, quantised_loss=0.07)["rules"]["quantised_loss"]
    assert rule["passed"] and rule["says"] == f"{same}0.07; too few rows to rule out a loss beyond that"


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


def test_perplexities_of_a_slice_count_by_the_tokens_of_its_own_rows(tmp_path: Path) -> None:
    """Every second row is long, and got worse; the short ones between them got better by a nat a token."""
    paths = Paths(tmp_path)
    tiny.ledgers(paths)
    tokens = [(2.0, 40.0)[number % 2] for number in range(ROWS)]
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "merged", "nf4"):
        change = (0.0, 0.0) if candidate.startswith("base") else (-1.0, 0.25)
        losses = [3.0 + change[number % 2] + 0.01 * (number % 3) for number in range(ROWS)]
        evaluated(paths, candidate, {"perplexity": losses, "perplexity_tokens": tokens})
    tiny.decided(paths)
    differences = {one["slice"]: one["difference"] for one in tiny.read(paths.decision / "comparisons.json")["slices"]}
    assert differences["slice: new_phrasing"] == pytest.approx(1.0, abs=1e-3)
    assert differences["slice: new_combination"] == pytest.approx(-0.25, abs=1e-3)


def test_the_run_promoted_last(run: Paths) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    run.best.mkdir()
    best = {"id": [f"row{number}" for number in range(ROWS)], "exact_match": [1.0] * 35 + [0.0] * 5}
    pq.write_table(pa.table(best), run.best / "scores.parquet")
    decision = tiny.decided(run)
    assert failed(decision) == [], "told, but no rule"
    says = decision["rules"]["best_loss"]["says"]
    assert says.startswith("merged loses 0.125 against the promoted run (95 % interval of the difference -0.")
    assert says.endswith("); decide.best_loss sets no limit")
    assert f"- best loss: {says}" in rule_lines(decision), "the end of a run"
    assert rule_lines(tiny.decided(run, best_loss=0.2))[1].startswith("✓ merged loses 0.125 against the promoted run (")
    assert tiny.read(run.decision / "comparisons.json")["best"]["difference"] == -0.125
    assert failed(tiny.decided(run, best_loss=0.1)) == ["best_loss"]


def test_gates_before(run: Paths) -> None:
    ledger = tiny.read(run.clean / "ledger.json")
    write_json(run.clean / "ledger.json", {**ledger, "in": 40})
    decision = tiny.decided(run)
    assert failed(decision) == ["gates"]
    assert decision["rules"]["gates"]["says"] == "failed earlier: clean lost 4 rows without a reason"
    write_json(run.clean / "ledger.json", {**ledger, "in": ledger["in"] - 4, "repeated": 4})
    assert not failed(tiny.decided(run))


def audited(paths: Paths, *slugs: str) -> None:
    """Two rows of the training split with each of these findings."""
    from tasks.template.findings import Findings

    findings = Findings()
    for slug in slugs:
        findings.add(slug, "row1")
        findings.add(slug, "row2")
    audit = tiny.read(paths.templated / "audit.json")
    audit["splits"]["train"] |= {"findings": findings.as_list(), "trained_errors": findings.trained_errors()}
    write_json(paths.templated / "audit.json", audit)


def test_rows_that_left_as_the_settings_allow_are_no_obstacle(run: Paths) -> None:
    """`over_length: drop` within `max_loss`, rows that fail a check within it, and what `mix` and filters leave out."""
    ledger = tiny.read(run.clean / "ledger.json")
    left = {**ledger["left"], "not_sampled": 3, "short_answer": 1}
    write_json(run.clean / "ledger.json", {**ledger, "in": ledger["in"] + 4, "left": left})
    audited(run, "too_long", "coverage", "untrained", "trimmed")
    assert failed(tiny.decided(run)) == []


def test_rows_that_are_trained_with_an_error_are(run: Paths) -> None:
    audited(run, "too_long", "contradiction", "one_label")
    decision = tiny.decided(run)
    assert failed(decision) == ["gates"]
    assert decision["rules"]["gates"]["says"] == (
        "failed earlier: template, train: 2 rows: contradiction; template, train: 2 rows: one_label"
    )


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
    assert "nf4 and base got different prompts for 2 of 40 rows" in decision["rules"]["gates"]["says"]
    assert "the benchmark arc used different prompts before" in decision["rules"]["gates"]["says"]


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
    with pytest.raises(InputError, match="merged: other rows or metrics than"):
        tiny.decided(run)


def test_unknown_names(run: Paths) -> None:
    with pytest.raises(SettingsError, match=r"candidate = 'q3': not evaluated; known: adapter, merged, nf4"):
        tiny.decided(run, candidate="q3")
    with pytest.raises(SettingsError, match=r"candidate = 'mergd': not evaluated; did you mean 'merged'"):
        tiny.decided(run, candidate="mergd")
    with pytest.raises(SettingsError, match=r"candidate = 'base': the base is the model to beat"):
        tiny.decided(run, candidate="base")
    with pytest.raises(SettingsError, match=r"metric = 'bleu': not in evaluate.metrics; known: exact_match"):
        tiny.decided(run, metric="bleu")


def classified(paths: Paths, candidate: str, answers: Sequence[str | None]) -> None:
    """Predictions of the classes of 40 rows: 30 of `often`, 6 of `rare`, 4 of `rarest`."""
    import shutil

    shutil.rmtree(paths.evaluation(candidate), ignore_errors=True)
    tiny.evaluation(paths, candidate, {}, [str(answer) for answer in answers], (CLASSES, list(answers)))


CLASSES = ["often"] * 30 + ["rare"] * 6 + ["rarest"] * 4


def test_macro_f1_decides_where_accuracy_would_not(run: Paths) -> None:
    """By hand: always `often` is right in 30 of 40 rows, and F1 is 2 * 30 / 70 of one class and 0 of two."""
    often = ["often"] * 40
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "nf4"):
        classified(run, candidate, often)
    classified(run, "merged", ["often"] * 24 + ["rare"] * 3 + ["rarest"] * 3 + ["rare"] * 6 + ["rarest"] * 4)
    decision = tiny.decided(run, quantised_loss=None)
    macro = (2 * 24 / 54 + 2 * 6 / 15 + 2 * 4 / 11) / 3
    assert (decision["metric"], decision["value"]) == ("macro_f1", round(macro, 4))
    assert decision["gain"] == round(macro - 60 / 70 / 3, 4)
    assert decision["promote"] is True
    by_metric = {
        one["metric"]: one
        for one in tiny.read(run.decision / "comparisons.json")["comparisons"]
        if (one["candidate"], one["against"]) == ("merged", "base")
    }
    assert by_metric["accuracy"]["difference"] == round(34 / 40 - 30 / 40, 4)
    assert by_metric["macro_f1"]["differ"] == 16, "rows with another answer, right or not"
    assert (by_metric["macro_f1"]["wins"], by_metric["macro_f1"]["losses"]) == (10, 6)
    assert failed(tiny.decided(run, metric="accuracy", quantised_loss=None)) == [
        f"gain over {name}" for name in ("base", "base_few_shot", "base_system")
    ]


def test_lists_of_classes_are_compared_by_the_f1_that_is_named(run: Paths) -> None:
    """By hand, of `a` in 30 of 40 rows and `b` in 10: macro F1 of naming `a` alone is half of 2 * 30 / 70, micro F1
    2 * 30 / 80; naming what is right is 1."""
    import shutil

    truth = ['["a"]'] * 20 + ['["a", "b"]'] * 10 + ["[]"] * 10
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "nf4", "merged"):
        shutil.rmtree(run.evaluation(candidate), ignore_errors=True)
        answers: list[str | None] = [*truth] if candidate == "merged" else ['["a"]'] * 39 + [None]
        tiny.evaluation(run, candidate, {}, [str(answer) for answer in answers], (truth, answers), lists=True)
    decision = tiny.decided(run, quantised_loss=None)
    assert (decision["metric"], decision["value"]) == ("macro_f1", 1.0)
    by_metric = {
        one["metric"]: one
        for one in tiny.read(run.decision / "comparisons.json")["comparisons"]
        if (one["candidate"], one["against"]) == ("merged", "base")
    }
    assert by_metric["macro_f1"]["difference"] == round(1 - 2 * 30 / (30 + 39) / 2, 4)
    assert by_metric["micro_f1"]["difference"] == round(1 - 2 * 30 / (40 + 39), 4)
    assert by_metric["subset_accuracy"]["difference"] == 0.5
    assert by_metric["micro_f1"]["wins"] == by_metric["subset_accuracy"]["wins"] == 20


def test_macro_f1_against_the_run_promoted_last(run: Paths) -> None:
    from tasks.decide.best import save_scores

    always = ["often"] * 40
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "nf4"):
        classified(run, candidate, always)
    classified(run, "merged", CLASSES)
    run.best.mkdir()
    save_scores(run, run.evaluation("merged"))
    classified(run, "merged", ["often"] * 30 + ["rare"] * 6 + [None] * 4)
    assert failed(tiny.decided(run, best_loss=0.1, quantised_loss=None)) == ["best_loss"]
    assert tiny.read(run.decision / "comparisons.json")["best"]["difference"] == round(2 / 3 - 1, 4)


def test_rows_that_do_not_differ_say_how_little_they_show(run: Paths) -> None:
    """By hand: 1 - 0.05 ** (1 / 40) of all rows, and the first n whose sum over all outcomes finds 4 of 5 times."""
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "merged", "nf4"):
        replaced(run, candidate, hits(8))
    says = tiny.decided(run)["reason"]
    assert "not one of 40 rows differs, so at most 7.2 % of all rows do (95 % certain)" in says
    assert "a difference of 0.05 would take 236 rows if 7.2 % of them differed" in says
    assert "0.0000 or more" not in says


def test_few_rows_that_differ_say_what_they_show(run: Paths) -> None:
    replaced(run, "merged", hits(10))
    says = tiny.decided(run)["reason"]
    assert "; against base_few_shot, 40 rows show" in says, "where the gain is smallest"
    says = tiny.decided(replaced_free(run))["reason"]
    assert "40 rows show a difference of 0.1905 or more" in says
    assert "would take 157 if 5.0 % of them differ (2 of 40 do)" in says


def replaced_free(run: Paths) -> Paths:
    """The base answers alike, however it is asked."""
    for candidate in ("base_system", "base_few_shot"):
        replaced(run, candidate, hits(8))
    return run


def test_a_gain_over_three_bases_that_answer_alike_is_said_once_with_what_fails(run: Paths) -> None:
    replaced(replaced_free(run), "merged", hits(8))
    decision = tiny.decided(run, quantised_loss=None)
    assert failed(decision) == ["gain over base", "gain over base_few_shot", "gain over base_system"]
    reason = decision["reason"]
    assert reason.startswith("merged against base, base_system and base_few_shot: +0 in exact match (95 % interval ")
    assert "; wanted: more than 0 with p below 0.05; neither holds; not one of 40 rows differs" in reason
    assert [reason.count(part) for part in ("wanted", "interval", "would take")] == [1, 1, 1]
    replaced(run, "merged", hits(10))
    reason = tiny.decided(run, quantised_loss=None)["reason"]
    assert "; wanted: more than 0 with p below 0.05; only p fails: the gain may be chance; 40 rows show" in reason
    assert "at least" not in reason
    assert [(line["passed"], f"{line['says']}.") for line in tiny.decided(run, quantised_loss=None)["gains"]] == [
        (False, reason)
    ]
    replaced(run, "base", hits(2))
    reason = tiny.decided(run, quantised_loss=None, gain=0.1)["reason"]
    assert reason.startswith("merged against base_system and base_few_shot: +0.05 in "), "0.2 over the base hold"
    assert "; wanted: at least 0.1 with p below 0.05; neither holds; 40 rows show" in reason


def test_scores_that_differ_by_nothing_but_losses(run: Paths) -> None:
    """A perplexity is no share: where no row differs, nothing is said of rows that would."""
    from tasks.decide.rules import _reach
    from tasks.decide.settings import Settings
    from tasks.statistics.paired import compare

    result = {**compare([-2.0] * 10, [-2.0] * 10), "better": "lower"}
    assert _reach(Settings(detect=0.05), result) == (
        "not one of 10 rows differs, so at most 25.9 % of all rows do (95 % certain)"
    )
    assert _reach(Settings(), {**compare([1.0] * 4, [0.0, 1.0, 1.0, 1.0]), "better": "higher"}).startswith(
        "4 rows are too few to show any difference, and "
    )


def test_baselines_that_are_listed_must_be_beaten_too(run: Paths) -> None:
    """Retrieval without tuning does as well as tuning; beside it, it is compared as any model is."""
    evaluated(run, "base_retrieved", hits(31))
    evaluated(run, "merged_retrieved", hits(36))
    decision = tiny.decided(run)
    assert failed(decision) == ["gain over base_retrieved"]
    assert "merged against base_retrieved: -0.025" in decision["reason"]
    comparisons = tiny.read(run.decision / "comparisons.json")["comparisons"]
    against = {one["against"] for one in comparisons if one["candidate"] == "merged_retrieved"}
    assert against == {"base", "base_system", "base_few_shot", "base_retrieved", "merged"}
    assert "base_retrieved" not in {one["candidate"] for one in comparisons}
