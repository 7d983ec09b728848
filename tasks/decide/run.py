"""Evidence, comparisons, rules, verdict: `data/decision`."""

from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.decide.comparisons import compare_benchmarks, compare_candidates, compare_slices, compare_with_best
from tasks.decide.evidence import load_candidates, load_judgements
from tasks.decide.gates import failed_gates
from tasks.decide.rules import as_json, deciding_metric, gain_lines, reason, verdicts
from tasks.decide.settings import Settings
from tasks.decide.words import promotion


def decide(settings: Settings, paths: Paths) -> None:
    """Write `data/decision`.

    decide(Settings(candidate="merged", gain=0.02), Paths())
    """
    by_name = load_candidates(paths)
    metric = deciding_metric(settings, by_name)
    limits = settings.level, settings.resamples
    chosen = by_name[settings.candidate]
    comparisons = compare_candidates(by_name, *limits)
    benchmarks = compare_benchmarks(by_name["base"], chosen, *limits)
    best = compare_with_best(chosen, paths.best / "scores.parquet", metric, *limits)
    before = failed_gates(paths, by_name, benchmarks)
    results = verdicts(
        settings, metric, by_name, comparisons, benchmarks, best, load_judgements(paths).get(chosen.name), before
    )
    failed = [verdict for verdict in results if verdict.passed is False]
    passed = not failed
    gains = [verdict for verdict in results if verdict.gain]
    why = f"{reason(chosen.name, failed or gains)}."
    main = next(
        comparison
        for comparison in comparisons
        if (comparison["candidate"], comparison["against"], comparison["metric"]) == (chosen.name, "base", metric)
    )
    write_json(
        paths.comparisons,
        {
            "comparisons": comparisons,
            "slices": compare_slices(by_name, chosen.name, metric, *limits),
            "benchmarks": benchmarks,
            "best": best,
        },
    )
    score = chosen.scores["metrics"][metric]
    write_json(
        paths.decided,
        {
            "promote": passed,
            "reason": why,
            "gains": gain_lines(chosen.name, results),
            "candidate": chosen.name,
            "metric": metric,
            **{key: score[key] for key in ("value", "low", "high", "n", "better")},
            "gain": main["difference"],
            "p": main["p_adjusted"],
            "rules": {verdict.rule: as_json(verdict) for verdict in results},
            "settings": settings.model_dump(mode="json"),
        },
    )
    print(f"decide: {promotion({'promote': passed})}", flush=True)
    print(f"  {why}", flush=True)
