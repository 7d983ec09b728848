"""Evidence, comparisons, rules, verdict: `data/decision`."""

from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.decide.comparisons import by_slice, compared, forgotten, with_best
from tasks.decide.evidence import FREE, candidates, judged
from tasks.decide.gates import gates
from tasks.decide.rules import as_json, deciding, verdicts
from tasks.decide.settings import Settings


def decide(settings: Settings, paths: Paths) -> None:
    """Write `data/decision`."""
    found = candidates(paths)
    metric = deciding(settings, found)
    limits = settings.level, settings.resamples
    chosen = found[settings.candidate]
    comparisons = compared(found, *limits)
    benchmarks = forgotten(found["base"], chosen, *limits)
    best = with_best(chosen, paths.best / "scores.parquet", metric, *limits)
    before = gates(paths, found, benchmarks)
    said = verdicts(settings, metric, found, comparisons, benchmarks, best, judged(paths).get(chosen.name), before)
    failed = [verdict for verdict in said if verdict.passed is False]
    passed = not failed
    reason = "; ".join(verdict.says for verdict in (failed or said[: len(FREE)])) + "."
    main = next(
        told
        for told in comparisons
        if (told["candidate"], told["against"], told["metric"]) == (chosen.name, "base", metric)
    )
    write_json(
        paths.decision / "comparisons.json",
        {
            "comparisons": comparisons,
            "slices": by_slice(found, chosen.name, metric, *limits),
            "benchmarks": benchmarks,
            "best": best,
        },
    )
    score = chosen.scores["metrics"][metric]
    write_json(
        paths.decision / "decision.json",
        {
            "promote": passed,
            "reason": reason,
            "candidate": chosen.name,
            "metric": metric,
            **{key: score[key] for key in ("value", "low", "high", "n")},
            "gain": main["difference"],
            "p": main["p_adjusted"],
            "rules": {verdict.rule: as_json(verdict) for verdict in said},
            "settings": settings.model_dump(mode="json"),
        },
    )
    print("decide: promoted" if passed else "decide: not promoted", flush=True)
    for verdict in failed or said[:1]:
        print(f"  {verdict.rule}: {verdict.says}.", flush=True)
