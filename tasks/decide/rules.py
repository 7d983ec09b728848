"""The rules of `decide`: each says whether it holds, and by how much."""

from dataclasses import dataclass
from typing import Any

from tasks.core.errors import SettingsError
from tasks.core.numbers import counted, enumerated, metric_name, shown
from tasks.decide.comparisons import REFERENCE, Comparison
from tasks.decide.evidence import BEFORE, Candidate
from tasks.decide.gates import ALL_HOLD
from tasks.decide.settings import Settings
from tasks.named.choices import hint
from tasks.statistics.effect import amount, effect, is_ratio
from tasks.statistics.p_value import describe_p_value
from tasks.statistics.paired import rows_needed
from tasks.statistics.power import rows_for_mcnemar


@dataclass(frozen=True)
class Verdict:
    """What a rule says."""

    rule: str
    passed: bool | None
    """None where the rule had nothing to judge by."""
    value: float | None
    limit: float | None
    says: str
    gain: "Gain | None" = None
    """Of a rule about a gain."""


@dataclass(frozen=True)
class Gain:
    """What a rule about a gain says, in parts: against several ways of asking the base some of them are the same."""

    against: str
    difference: float
    measured: str
    """The difference with interval and p."""
    wanted: str
    fails: str
    """"" where it holds."""
    rows_needed: str
    """What so many rows can tell, where the difference may be due to chance; "" elsewhere."""


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
    free = [name for name, candidate in candidates.items() if candidate.is_free]
    results = [_gain(settings, metric, of[settings.candidate, name]) for name in free]
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
    says = f"failed earlier: {'; '.join(gates)}" if gates else ALL_HOLD
    results.append(Verdict("gates", not gates, len(gates), 0, says))
    return results


def deciding_metric(settings: Settings, candidates: dict[str, Candidate]) -> str:
    """The metric that decides; raises `SettingsError` where candidate or metric are unknown."""
    known = [name for name, candidate in candidates.items() if not candidate.is_free]
    if settings.candidate not in known:
        why = "the base is the model to beat" if settings.candidate in candidates else "not evaluated"
        raise SettingsError(f"decide.candidate = {settings.candidate!r}: {why}; {hint(settings.candidate, known)}")
    metrics = list(candidates["base"].better)
    if settings.metric is not None and settings.metric not in metrics:
        raise SettingsError(
            f"decide.metric = {settings.metric!r}: not in evaluate.metrics; {hint(settings.metric, metrics)}"
        )
    return settings.metric or metrics[0]


def _gain(settings: Settings, metric: str, result: Comparison) -> Verdict:
    difference, sure = result["difference"], result["p_adjusted"] < settings.level
    large = difference > 0 and difference >= settings.gain
    measured = effect(result)
    more, least = ("less than", "at most") if is_ratio(result) else ("more than", "at least")
    fails = "neither holds"
    if large or sure:
        lacking = settings.gain - difference
        small = "the gain fails" if is_ratio(result) or not lacking else f"the gain is {shown(lacking)} too small"
        fails = "" if large and sure else small if sure else "only p fails: the gain may be chance"
    gain = Gain(
        str(result["against"]),
        difference,
        f"{measured.value} in {metric_name(metric)} (95 % interval {measured.low} to {measured.high}, "
        f"{describe_p_value(result['p_adjusted'])} over all metrics)",
        f"wanted: {least if settings.gain else more} {amount(settings.gain, result)} with p below "
        f"{shown(settings.level)}",
        fails,
        "" if sure else _reach(settings, result),
    )
    says = [f"{settings.candidate} against {gain.against}: {gain.measured}", gain.wanted, gain.fails]
    rule, text = f"gain over {gain.against}", "; ".join(filter(None, says))
    return Verdict(rule, large and sure, difference, settings.gain, text, gain)


def reason(candidate: str, results: list[Verdict]) -> str:
    """What `results` say together, each thing once: a gain that is the same over several is said of all of them."""
    gains = [verdict.gain for verdict in results if verdict.gain]
    fails = list(dict.fromkeys(gain.fails for gain in gains))
    against: dict[str, list[str]] = {}
    for gain in gains:
        text = gain.measured if len(fails) == 1 else f"{gain.measured}, {gain.fails}"
        against.setdefault(text, []).append(gain.against)
    parts = [f"against {enumerated(names)}: {text}" for text, names in against.items()]
    if gains:
        parts = [
            f"{candidate} {'; '.join(parts)}",
            gains[0].wanted,
            *(fails if len(fails) == 1 else []),
            _needed_rows(results),
        ]
    return "; ".join(filter(None, [*parts, *(verdict.says for verdict in results if not verdict.gain)]))


def gain_lines(candidate: str, results: list[Verdict]) -> list[dict[str, Any]]:
    """The gains that fail and those that hold, a line each, as decision.json holds them."""
    parts = {passed: [one for one in results if one.gain and one.passed is passed] for passed in (False, True)}
    return [{"passed": passed, "says": reason(candidate, part)} for passed, part in parts.items() if part]


def _needed_rows(results: list[Verdict]) -> str:
    """What so many rows can tell, of the smallest gain that may be due to chance; "" where none may."""
    unsure = [verdict.gain for verdict in results if verdict.gain and verdict.gain.rows_needed]
    if not unsure:
        return ""
    least = min(unsure, key=lambda gain: gain.difference)
    same = all(gain.rows_needed == least.rows_needed for gain in unsure)
    return least.rows_needed if same else f"against {least.against}, {least.rows_needed}"


def _reach(settings: Settings, result: Comparison) -> str:
    """What so many rows can tell, and how many would tell a difference of `decide.detect`."""
    n, detect = result["n"], f"a difference of {amount(settings.detect, result)}"
    if not result["differ"]:
        most = result["differ_at_most"]
        says = f"not one of {n:,} rows differs, so at most {100 * most:.1f} % of all rows do (95 % certain)"
        if result["better"] == "lower":
            return says
        supposed = max(most, min(1, settings.detect))
        rows = rows_for_mcnemar(settings.detect, supposed, settings.level)
        return f"{says}; {detect} would take {rows:,} rows if {100 * supposed:.1f} % of them differed"
    shows = f"{n:,} rows are too few to show any difference"
    if result["detectable"] is not None:
        shows = f"{counted(n, 'rows')} show a difference of {amount(result['detectable'], result)} or more"
    if not result["binary"]:
        return f"{shows}, and {detect} would take {rows_needed(result['spread'], settings.detect, settings.level):,}"
    differ = result["differ"]
    share = max(differ / n, min(1, settings.detect))
    rows = rows_for_mcnemar(settings.detect, share, settings.level)
    return f"{shows}, and {detect} would take {rows:,} if {100 * share:.1f} % of them differ ({differ} of {n:,} do)"


def _alignment(metric: str, result: Comparison) -> Verdict:
    """What align made of what train had made; for the reader, since the gain over the base decides."""
    difference, measured = result["difference"], effect(result)
    sure = "" if result["low"] > 0 or result["high"] < 0 else "; it may be chance"
    says = (
        "for information only: the model after align against the one after train, "
        f"{measured.value} in {metric_name(metric)} (95 % interval {measured.low} to {measured.high}, "
        f"{describe_p_value(result['p_adjusted'])} over all metrics){sure}"
    )
    return Verdict("alignment", None, difference, None, says)


def _worst(rule: str, limit: float | None, comparisons: list[Comparison], against: str, none: str) -> Verdict:
    """Whether the largest loss among `comparisons` is within `limit`."""
    if not comparisons:
        return Verdict(rule, None, None, limit, f"not judged: {none}")
    worst = min(comparisons, key=lambda one: one["difference"])
    loss = round(-worst["difference"], 4)
    name = worst.get("candidate") or f"{worst['task']} ({worst['metric']})"
    whom = worst["against"] if against == "against" else "the base"
    whom = "the promoted run" if whom == "best" else whom
    measured, interval = effect(worst), "(95 % interval of the difference {} to {})"
    what = f"{name} loses {shown(loss)} against {whom}" if loss > 0 else f"{name} does no worse than {whom}"
    if is_ratio(worst):
        what, interval = f"perplexity of {name} against {whom}: {measured.value}", "(95 % interval {} to {})"
    interval = interval.format(measured.low, measured.high)
    if limit is None:
        return Verdict(rule, None, loss, None, f"{what} {interval}; decide.{rule} sets no limit")
    says = f"{what} {interval}; allowed: {amount(-limit if is_ratio(worst) else limit, worst)}"
    if loss > limit:
        return Verdict(rule, False, loss, limit, says if is_ratio(worst) else f"{says}, {shown(loss - limit)} too much")
    unsure = "; too few rows to rule out a loss beyond that" if -worst["low"] > limit else ""
    return Verdict(rule, True, loss, limit, f"{says}{unsure}")


def _judged(limit: float | None, result: dict[str, Any] | None) -> Verdict:
    """Whether the judge gives the candidate enough points."""
    if result is None or "value" not in result:
        says = "not checked: it has no verdicts of a judge (judge.candidates)"
        return Verdict("judged", None if limit is None else False, None, limit, says)
    says = (
        f"{result['judge']} gives it {shown(result['value'])} of the points against {result['against']} (95 % interval "
        f"{shown(result['low'])} to {shown(result['high'])})"
    )
    if limit is None:
        return Verdict("judged", None, result["value"], None, f"not checked, since the limit is null: {says}")
    passed = result["value"] >= limit
    says = f"{says}; wanted: {shown(limit)}"
    return Verdict(
        "judged",
        passed,
        result["value"],
        limit,
        says if passed else f"{says}, {shown(limit - result['value'])} more",
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
