"""What the numbers mean, in words and in the order a reader wants them."""

import re
from typing import Any

from tasks.core import numbers
from tasks.core.numbers import counted, metric_name
from tasks.decide.words import promotion
from tasks.report.gather import RunResults
from tasks.report.refusal import short_refusal
from tasks.statistics.confusion import describe_untested
from tasks.statistics.effect import ratio
from tasks.statistics.label_table import describe_classes
from tasks.statistics.majority import describe_floor

BASELINES = ("merged_retrieved",)
"""Tuned models that are asked with more than the question."""

TUNED = "merged"
"""The candidate that stands for the tuned model: what is shipped."""


def is_whole(results: RunResults) -> bool:
    """Whether every weight was trained."""
    return bool(results.merge["method"] == "full")


def display_name(results: RunResults, candidate: str) -> str:
    """A candidate as it is called on the page. `adapter` is the model as it was trained, which may have none."""
    return {
        "base_system": "base with system prompt",
        "base_few_shot": "base with examples",
        "trained": "tuned, before align",
        "base_retrieved": "base with retrieved rows",
        "base_documents": "base with documents",
        "base_best_prompt": "base with the best prompt",
        "merged_retrieved": "tuned with retrieved rows",
        "adapter": "tuned (as trained)" if is_whole(results) else "tuned (adapter)",
        "merged": "tuned (merged)",
    }.get(candidate, candidate)


def class_sentences(results: RunResults, facts: dict[str, Any]) -> list[str]:
    """What a mean over classes hides. `facts`: of a metric of classes, as `scores.json` has them."""
    tested = {name for name, one in facts["classes"].items() if one["support"]}
    return [*describe_untested(results.merge.get("classes") or (), tested), *describe_classes(facts)]


def group(results: RunResults, candidate: str) -> str:
    """The group a candidate belongs to: before tuning, tuned, made small, or another model."""
    groups = {"free": "before", "tuned": "tuned", "quantised": "small", "other": "other"}
    return groups[results.scores[candidate]["kind"]]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def drawn(record: dict[str, Any]) -> str:
    """Which questions of a benchmark were asked.

    >>> drawn({"rows": 100, "of": 2376, "by": "category"})
    '100 of 2,376, drawn by category'
    """
    rows, of = (f"{record[key]:,}" for key in ("rows", "of"))
    if record["by"] in ("all", "first"):
        return f"all {of}" if record["by"] == "all" else f"the first {rows} of {of}"
    return f"{rows} of {of}, drawn {'at random' if record['by'] == 'chance' else 'by ' + record['by']}"


def metric(results: RunResults) -> str:
    """The metric that decides."""
    return str(results.decision["metric"])


ASKED = {"base_system": "with a system prompt", "base_few_shot": "with examples in its prompt"}
"""Other ways of asking the base a model that writes, which an embedding model does not have."""


def score(results: RunResults, candidate: str) -> dict[str, Any]:
    """A candidate's score by the metric that decides."""
    values: dict[str, Any] = results.scores[candidate]["metrics"][metric(results)]
    return values


def shown(value: float, better: str) -> str:
    """A score for a person: a share in percent; a perplexity as it is."""
    return percent(value) if better == "higher" else numbers.shown(value, 3)


def summary(results: RunResults) -> list[str]:
    """The result in a few sentences: what was tuned, how well it does, against what, and what quantising costs."""
    tuned, base = score(results, TUNED), score(results, "base")
    better = tuned["better"]
    what = "answers {} of {} held-out rows exactly as the reference does"
    if metric(results) != "exact_match":
        what = f"reaches {{}} in {metric_name(metric(results))} on {{}} held-out rows"
    other_ways = [
        f"{shown(score(results, key)['value'], better)} {how}" for key, how in ASKED.items() if key in results.scores
    ]
    sentences = [
        f"{method(results)} of {base_name(results)} on {', then on '.join(map(_taken, _in_order(results)))}.",
        f"The tuned model {what.format(shown(tuned['value'], better), tuned['n'])} (95 % interval "
        f"{shown(tuned['low'], better)} to {shown(tuned['high'], better)}); the base "
        f"{', and '.join([', '.join([shown(base['value'], better), *other_ways[:-1]]), *other_ways[-1:]])}.",
        *([step] if (step := aligning(results)) else []),
        verdict(results),
        *(
            sentence
            for facts in results.scores[results.decision["candidate"]].get("classes", {}).values()
            for sentence in (*class_sentences(results, facts), describe_floor(facts))
        ),
    ]
    lost = {comparison["candidate"]: -comparison["difference"] for comparison in quantising(results)}
    if lost:
        worst = max(lost, key=lambda key: lost[key])
        costs = f"at most {100 * lost[worst]:.1f} points ({worst})"
        if better == "lower":
            costs = f"most with {worst}, whose perplexity is {ratio(-lost[worst])} times that of the merged model"
        sentences.append(
            f"Quantising costs {costs}."
            if lost[worst] > 0
            else "No quantised model scored below the merged one on these rows."
        )
    return sentences


def _in_order(results: RunResults) -> list[dict[str, Any]]:
    """`training.json` of what made the model, in order: that of align behind that of train, if it started there."""
    aligned = "objective" in results.training and results.settings.get("align", {}).get("start", "train") == "train"
    return [*([results.trainings["train"]] if aligned and "train" in results.trainings else []), results.training]


def _taken(training: dict[str, Any]) -> str:
    """What a training took: rows, tokens with a loss, steps."""
    took = counted(training["steps"], "steps")
    if objective := training.get("objective"):  # of align
        took = f"{took} of {objective.replace('_', ' ')}"
    if "supervised_tokens" in training:  # what samples its own answers has none beforehand
        took = f"{training['supervised_tokens']:,} trained tokens, {took}"
    return f"{counted(training['rows'], 'rows')} ({took})"


def cost(results: RunResults) -> str:
    """What a question costs the tuned model and each way of asking the base, in tokens; "" where nobody counted."""
    shown = [TUNED, *(key for key in results.scores if key in BASELINES or group(results, key) == "before")]
    parts = []
    for key in dict.fromkeys(shown):
        tokens = results.scores[key].get("cost", {})
        if tokens.get("prompt_tokens") is not None:
            parts.append(
                f"{display_name(results, key)} {tokens['prompt_tokens']:.0f} + {tokens['answer_tokens'] or 0:.0f}"
            )
    return f"Mean tokens of a question and its answer: {', '.join(parts)}." if parts else ""


def verdict(results: RunResults) -> str:
    """Whether the model is worth shipping, what speaks against it, and what could not be judged."""
    unjudged = [
        f"{name.replace('_', ' ')} ({rule['says'].removeprefix('not judged: ')})"
        for name, rule in results.decision["rules"].items()
        if rule["passed"] is None and rule["limit"] is not None
    ]
    rest = [f"Not judged: {'; '.join(unjudged)}."] if unjudged else []
    best = results.decision["rules"].get("best_loss", {})
    if best.get("value") is not None and best["limit"] is None:
        rest.append(f"{best['says'][0].upper()}{best['says'][1:]}.")
    if not results.decision["promote"]:
        return " ".join([f"{promotion(results.decision).capitalize()}: {short_refusal(results)}", *rest])
    holds = "Every rule that could be judged holds" if unjudged else "Every rule holds"
    return " ".join([f"{holds}: the model is worth shipping.", *rest])


def against(results: RunResults) -> list[dict[str, Any]]:
    """What the tables of comparisons show: the candidate that may be shipped against the free ones, what align made
    against what train had made, then all against merged, by every metric."""
    comparisons = results.comparisons["comparisons"]
    others = ("trained", TUNED)
    mine = [
        one for one in comparisons if one["candidate"] == results.decision["candidate"] and one["against"] not in others
    ]
    return mine + [one for name in others for one in comparisons if one["against"] == name]


def aligning(results: RunResults) -> str:
    """What align made of what train had made, in a sentence; "" where there was one step only."""
    name = metric(results)
    for one in results.comparisons["comparisons"]:
        if (one["candidate"], one["against"], one["metric"]) == ("adapter", "trained", name):
            before, after = score(results, "trained"), score(results, "adapter")
            better = before["better"]
            sure = "" if one["low"] > 0 or one["high"] < 0 else ", which may be chance"
            return (
                f"Alignment changed {metric_name(name)} from {shown(before['value'], better)} to "
                f"{shown(after['value'], better)}{sure}."
            )
    return ""


def quantising(results: RunResults) -> list[dict[str, Any]]:
    """Quantised models against the merged one, by the metric that decides."""
    return [
        comparison
        for comparison in results.comparisons["comparisons"]
        if comparison["against"] == TUNED
        and comparison["candidate"] in small(results)
        and comparison["metric"] == metric(results)
    ]


def method(results: RunResults) -> str:
    if is_whole(results):
        return "Full fine-tuning"
    section = "align" if results.settings.get("align", {}).get("start", "train") != "train" else "train"
    rank = results.settings.get(section, {}).get("lora.r")
    name = "LoRA" if results.merge["method"] == "lora" else str(results.merge["method"])
    return f"{name} fine-tuning (rank {rank})" if rank else f"{name} fine-tuning"


def base_name(results: RunResults) -> str:
    """What a person calls the base: a model of the hub with its revision, or a folder by its own name, wherever it
    lies; its path stands among the settings."""
    record = results.base
    if record["kind"] == "trained":
        return "a base trained from scratch" + (f" on {record['from']}" if "from" in record else "")
    if record["kind"] == "converted":
        return _folder_name(record["from"])
    if record["kind"] == "scaled":
        revision = f"@{record['revision'][:8]}" if record["revision"] else ""
        name = record["from"] if revision else _folder_name(record["from"])
        return f"{name}{revision}, with its context extended to {record['rope']['length']} tokens"
    return (
        f"{record['location']}@{record['revision'][:8]}"
        if record["kind"] == "hub"
        else _folder_name(record["location"])
    )


def _folder_name(location: str) -> str:
    return re.split(r"[\\/]", location.rstrip("\\/"))[-1] or location


def small(results: RunResults) -> dict[str, dict[str, Any]]:
    """Scores of the quantised candidates."""
    return {key: scores for key, scores in results.scores.items() if group(results, key) == "small"}


def slice_names(results: RunResults) -> list[str]:
    return sorted({key for scores in results.scores.values() for key in scores["slices"].get("slice", {})})


def comparison(results: RunResults) -> dict[str, Any]:
    """What comparison.json holds."""
    return {
        "method": results.merge["method"],
        "candidates": {
            key: {**scores["metrics"], "slices": scores["slices"].get("slice", {})}
            for key, scores in results.scores.items()
        },
        "benchmarks": {
            key: {task: benchmark["metrics"] for task, benchmark in tasks.items()}
            for key, tasks in results.benchmarks.items()
        },
    }
