"""The rules of `decide`: each says whether it holds, and by how much."""

from dataclasses import dataclass
from typing import Any

from tasks.core.errors import SettingsError
from tasks.core.settings import hint
from tasks.decide.comparisons import REFERENCE, Comparison
from tasks.decide.evidence import BEFORE, FREE, Candidate
from tasks.decide.settings import Settings
from tasks.statistics.p_value import describe_p_value
from tasks.statistics.paired import rows_needed


@dataclass(frozen=True)
class Verdict:
    """What a rule says."""

    rule: str
    passed: bool | None
    """None where the rule had nothing to judge by."""
    value: float | None
    limit: float | None
    says: str


def verdicts(
    settings: Settings,
    metric: str,
    candidates: dict[str, Candidate],
    comparisons: list[Comparison],
    benchmarks: list[Comparison],
    best: Comparison | None,
    judged: dict[str, Any] | None,
    gates: list[str],
) -> list[Verdict]:
    """Every rule, those that failed included."""
    of = {
        (comparison["candidate"], comparison["against"]): comparison
        for comparison in comparisons
        if comparison["metric"] == metric
    }
    results = [_gain(settings, metric, of[settings.candidate, free]) for free in FREE]
    if step := of.get(("adapter", BEFORE)):
        results.append(_alignment(metric, step))
    quantised = [
        comparison
        for (name, against), comparison in of.items()
        if against == REFERENCE and _is_quantised(name, candidates)
    ]
    results.append(_worst("quantised_loss", settings.quantised_loss, quantised, "against", "no quantised model"))
    main = [
        comparison for comparison in benchmarks if comparison["metric"] == _main_metric(comparison["task"], benchmarks)
    ]
    results.append(_worst("forgetting", settings.forgetting, main, "before", "no benchmark in evaluate.benchmarks"))
    results.append(_worst("best_loss", settings.best_loss, [best] if best else [], "against", "no run promoted before"))
    results.append(_judged(settings.judged, judged))
    says = f"failed before: {'; '.join(gates)}" if gates else "no check before it failed"
    results.append(Verdict("gates", not gates, len(gates), 0, says))
    return results


def deciding_metric(settings: Settings, candidates: dict[str, Candidate]) -> str:
    """The metric that decides; raises `SettingsError` where candidate or metric are unknown."""
    known = [name for name in candidates if name not in FREE]
    if settings.candidate not in known:
        why = "the base is what is to be beaten" if settings.candidate in FREE else "not evaluated"
        raise SettingsError(f"decide.candidate = {settings.candidate!r}: {why}; {hint(settings.candidate, known)}")
    metrics = list(candidates["base"].better)
    if settings.metric is not None and settings.metric not in metrics:
        raise SettingsError(
            f"decide.metric = {settings.metric!r}: not in evaluate.metrics; {hint(settings.metric, metrics)}"
        )
    return settings.metric or metrics[0]


def _gain(settings: Settings, metric: str, result: Comparison) -> Verdict:
    passed = (
        result["difference"] >= settings.gain and result["difference"] > 0 and result["p_adjusted"] < settings.level
    )
    says = (
        f"{settings.candidate} against {result['against']}: {result['difference']:+.4f} in {metric} (95 % interval "
        f"{result['low']:.4f} to {result['high']:.4f}, {describe_p_value(result['p_adjusted'])} over all metrics); "
        f"wanted: at least {settings.gain:g} with p below {settings.level:g}"
    )
    if result["difference"] < settings.gain:
        says += f", {settings.gain - result['difference']:.4f} more"
    if not result["spread"] and not result["difference"]:
        says += (
            f"; on each of {result['n']} rows both score alike, so nothing tells how many rows would show a difference"
        )
    elif not passed and result["p_adjusted"] >= settings.level:
        needed = rows_needed(result["spread"], settings.detect, settings.level)
        says += (
            f"; {result['n']} rows show a difference of {result['detectable']:.4f} or more, and one of "
            f"{settings.detect:g} would take {needed:,}"
        )
    return Verdict(f"gain over {result['against']}", passed, result["difference"], settings.gain, says)


def _alignment(metric: str, result: Comparison) -> Verdict:
    """What align made of what train had made; for the reader, since the gain over the base decides."""
    difference = result["difference"]
    sure = "" if result["low"] > 0 or result["high"] < 0 else "; it may be chance"
    says = (
        f"not judged, but told: what align made against what train had made, {difference:+.4f} in {metric} (95 % "
        f"interval {result['low']:.4f} to {result['high']:.4f}, {describe_p_value(result['p_adjusted'])} over all "
        f"metrics){sure}"
    )
    return Verdict("alignment", None, difference, None, says)


def _worst(rule: str, limit: float | None, comparisons: list[Comparison], against: str, none: str) -> Verdict:
    """Whether the largest loss among `comparisons` is within `limit`."""
    if not comparisons:
        return Verdict(rule, None, None, limit, f"not judged: {none}")
    worst = min(comparisons, key=lambda one: one["difference"])
    loss = round(-worst["difference"], 4)
    name = worst.get("candidate") or f"{worst['task']} ({worst['metric']})"
    what = f"{name} loses {loss:.4f} against {worst['against'] if against == 'against' else 'the base'}"
    what = what if loss > 0 else f"{name} loses nothing"
    interval = f"(95 % interval of the difference {worst['low']:.4f} to {worst['high']:.4f})"
    if limit is None:
        return Verdict(rule, None, loss, None, f"not judged, as the limit is null: {what} {interval}")
    says = f"{what} {interval}; allowed: {limit:g}"
    return Verdict(rule, loss <= limit, loss, limit, says if loss <= limit else f"{says}, {loss - limit:.4f} too much")


def _judged(limit: float | None, result: dict[str, Any] | None) -> Verdict:
    """Whether the judge gives the candidate enough points."""
    if result is None or "value" not in result:
        says = "not judged: no judge was asked of it (judge.candidates)"
        return Verdict("judged", None if limit is None else False, None, limit, says)
    says = (
        f"{result['judge']} gives it {result['value']:.4f} of the points against {result['against']} (95 % interval "
        f"{result['low']:.4f} to {result['high']:.4f})"
    )
    if limit is None:
        return Verdict("judged", None, result["value"], None, f"not judged, as the limit is null: {says}")
    passed = result["value"] >= limit
    says = f"{says}; wanted: {limit:g}"
    return Verdict(
        "judged",
        passed,
        result["value"],
        limit,
        says if passed else f"{says}, {limit - result['value']:.4f} more",
    )


def _is_quantised(name: str, candidates: dict[str, Candidate]) -> bool:
    """Whether a candidate is a quantised model."""
    return bool(candidates[name].scores["kind"] == "quantised")


def _main_metric(task: str, benchmarks: list[Comparison]) -> str:
    """The metric by which a task is judged: accuracy where it has one."""
    names = [benchmark["metric"] for benchmark in benchmarks if benchmark["task"] == task]
    return next((name for name in ("acc", "exact_match") if name in names), sorted(names)[0])


def as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as decision.json holds it."""
    return {"passed": verdict.passed, "value": verdict.value, "limit": verdict.limit, "says": verdict.says}
