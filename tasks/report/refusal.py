"""Why a promotion is refused, in two sentences for the head of the report; the section Decision has every number."""

from collections.abc import Iterator
from typing import Any

from tasks.core.numbers import counted, enumerated, metric_name
from tasks.report.gather import RunResults
from tasks.statistics.effect import effect, is_ratio
from tasks.statistics.p_value import describe_p_value

GAIN = "gain over "
"""How the rules begin that compare with a way of asking the base."""


def short_refusal(results: RunResults) -> str:
    """What fails, and what changed for certain all the same by the metrics that do not decide."""
    decision = results.decision
    failed = [rule for rule, verdict in decision["rules"].items() if verdict["passed"] is False]
    bases = [rule.removeprefix(GAIN) for rule in failed if rule.startswith(GAIN)]
    others = [rule.replace("_", " ") for rule in failed if not rule.startswith(GAIN)]
    parts = list(_gains(results, bases))
    if others:
        parts.append(f"{'these rules fail' if len(others) > 1 else 'this rule fails'}: {enumerated(others)}")
    return " ".join([f"{'; '.join(parts)}.", *_other_metrics(results, bases)])


def _gains(results: RunResults, bases: list[str]) -> Iterator[str]:
    """What is wrong with the gain, once for all ways of asking the base of which it is true."""
    settings, metric = results.decision["settings"], results.decision["metric"]
    by_reason: dict[str, list[str]] = {}
    for one in _comparisons(results, bases):
        if one["metric"] != metric:
            continue
        sure = one["p_adjusted"] < settings["level"]
        reason = (
            f"not proven better than {{}} in {metric_name(metric)}, with {counted(one['n'], 'test rows')}"
            if not sure
            else f"worse than {{}} in {metric_name(metric)}"
            if one["difference"] <= 0
            else f"better than {{}} in {metric_name(metric)}, but by less than decide.gain asks for"
        )
        by_reason.setdefault(reason, []).append(one["against"])
    for reason, names in by_reason.items():
        yield reason.format(enumerated(names))


def _other_metrics(results: RunResults, bases: list[str]) -> Iterator[str]:
    """A sentence on each metric that does not decide, and in which the candidate differs from all of `bases`."""
    decision = results.decision
    lines = [one for one in _comparisons(results, bases) if one["metric"] != decision["metric"]]
    for metric in dict.fromkeys(one["metric"] for one in lines):
        of_metric = [one for one in lines if one["metric"] == metric]
        if all(one["p_adjusted"] < decision["settings"]["level"] for one in of_metric):
            least = min(of_metric, key=lambda one: one["difference"])
            verb = "is better" if least["difference"] > 0 else "is worse"
            by = effect(least).value if is_ratio(least) else f"{100 * least['difference']:+.1f} points"
            yield (
                f"In {metric_name(metric)}, which does not decide, it {verb}: {by} "
                f"({describe_p_value(least['p_adjusted'])})."
            )


def _comparisons(results: RunResults, bases: list[str]) -> list[dict[str, Any]]:
    return [
        one
        for one in results.comparisons["comparisons"]
        if one["candidate"] == results.decision["candidate"] and one["against"] in bases
    ]
