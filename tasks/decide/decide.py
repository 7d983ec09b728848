"""Evidence, comparisons, rules, verdict: `data/decision`."""

from tasks.contract.files import read_json, write_json
from tasks.contract.paths import Paths
from tasks.decide import Settings
from tasks.decide.comparisons import by_slice, compared, forgotten, with_best
from tasks.decide.evidence import FREE, Candidate, candidates, judged
from tasks.decide.rules import as_json, deciding, verdicts


def decide(settings: Settings, paths: Paths) -> None:
    """Write `data/decision`."""
    found = candidates(paths)
    metric = deciding(settings, found)
    limits = settings.level, settings.resamples
    chosen = found[settings.candidate]
    comparisons = compared(found, *limits)
    benchmarks = forgotten(found["base"], chosen, *limits)
    best = with_best(chosen, paths.best / "scores.parquet", metric, *limits)
    said = verdicts(
        settings, metric, found, comparisons, benchmarks, best, judged(paths).get(chosen.name), gates(paths, found)
    )
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


def gates(paths: Paths, found: dict[str, Candidate]) -> list[str]:
    """What must not be, in a sentence each: rows lost, findings that are errors, a model that is not tuned."""
    said = []
    ledger = read_json(paths.clean / "ledger.json", "clean")
    lost = ledger["in"] - sum(ledger["out"].values()) - sum(ledger["left"].values())
    if lost:
        said.append(f"clean lost {lost} rows without a reason")
    for split, told in read_json(paths.templated / "audit.json", "template").get("splits", {}).items():
        errors = [one for one in told["findings"] if one["severity"] == "error"]
        said += [f"template, {split}: {one['rows']} rows: {one['check']}" for one in errors]
    base, merged = (found[name].columns for name in ("base", "merged"))
    metrics = list(found["base"].better)
    if all(base[name] == merged[name] for name in ("output", *metrics)):
        said.append("merged answers every row as the base does: it is not tuned, or the base was evaluated twice")
    return said
