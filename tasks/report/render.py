"""What the numbers mean, in words and in the order a reader wants them."""

import re
from typing import Any

from tasks.report.gather import Story

TUNED = "merged"
"""The candidate that stands for the tuned model: what is shipped."""


def name(candidate: str) -> str:
    """A candidate as it is called on the page."""
    return {
        "base_system": "base with system prompt",
        "base_few_shot": "base with examples",
        "adapter": "tuned (adapter)",
        "merged": "tuned (merged)",
    }.get(candidate, candidate)


def kind(story: Story, candidate: str) -> str:
    """The group a candidate belongs to: before tuning, tuned, made small, or another model."""
    groups = {"free": "before", "tuned": "tuned", "quantised": "small", "other": "other"}
    return groups[story.scores[candidate]["kind"]]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def metric(story: Story) -> str:
    """The metric that decides."""
    return str(story.decision["metric"])


def score(story: Story, candidate: str) -> dict[str, Any]:
    """A candidate's score by the metric that decides."""
    found: dict[str, Any] = story.scores[candidate]["metrics"][metric(story)]
    return found


def shown(value: float, better: str) -> str:
    """A score for a person: a share in percent; a perplexity as it is."""
    return percent(value) if better == "higher" else f"{value:.3g}"


def summary(story: Story) -> list[str]:
    """The result in a few sentences: what was tuned, how well it does, against what, and what quantising costs."""
    tuned, base, system, shots = (score(story, key) for key in (TUNED, "base", "base_system", "base_few_shot"))
    better = tuned["better"]
    what = "answers {} of {} held-out rows exactly as the reference does"
    if metric(story) != "exact_match":
        what = f"reaches {{}} in {metric(story).replace('_', ' ')} on {{}} held-out rows"
    took = f"{story.training['steps']:,} steps"
    if "supervised_tokens" in story.training:  # what samples its own answers has none beforehand
        took = f"{story.training['supervised_tokens']:,} trained tokens, {took}"
    said = [
        f"{method(story)} of {base_name(story)} on {story.training['rows']:,} rows ({took}).",
        f"The tuned model {what.format(shown(tuned['value'], better), tuned['n'])} (95 % interval "
        f"{shown(tuned['low'], better)} to {shown(tuned['high'], better)}); the base {shown(base['value'], better)}, "
        f"{shown(system['value'], better)} with a system prompt, and {shown(shots['value'], better)} with examples in "
        "its prompt.",
        verdict(story),
    ]
    lost = {told["candidate"]: -told["difference"] for told in quantising(story)}
    if lost:
        worst = max(lost, key=lambda key: lost[key])
        unit = f"{100 * lost[worst]:.1f} points" if better == "higher" else f"{lost[worst]:.3g} nats a token"
        said.append(
            f"Quantising costs at most {unit} ({worst})."
            if lost[worst] > 0
            else "No quantised model does worse than the merged one."
        )
    return said


def verdict(story: Story) -> str:
    """Whether the model is worth shipping, and what speaks against it."""
    if story.decision["promote"]:
        return "Every rule holds: the model is worth shipping."
    return f"Not promoted: {story.decision['reason']}"


def against(story: Story) -> list[dict[str, Any]]:
    """What the tables of comparisons show: the candidate that may be shipped against the free ones, then all against
    merged, by every metric."""
    told = story.comparisons["comparisons"]
    mine = [one for one in told if one["candidate"] == story.decision["candidate"] and one["against"] != TUNED]
    return mine + [one for one in told if one["against"] == TUNED]


def quantising(story: Story) -> list[dict[str, Any]]:
    """Quantised models against the merged one, by the metric that decides."""
    return [
        told
        for told in story.comparisons["comparisons"]
        if told["against"] == TUNED and told["candidate"] in small(story) and told["metric"] == metric(story)
    ]


def method(story: Story) -> str:
    if story.merge["method"] == "full":
        return "Full fine-tuning"
    section = "align" if story.settings.get("align", {}).get("start") == "base" else "train"
    rank = story.settings.get(section, {}).get("lora.r")
    name = "LoRA" if story.merge["method"] == "lora" else str(story.merge["method"])
    return f"{name} fine-tuning (rank {rank})" if rank else f"{name} fine-tuning"


def base_name(story: Story) -> str:
    record = story.base
    if record["kind"] == "trained":
        return "a base trained from scratch"
    if record["kind"] == "converted":
        return str(record["from"])
    return f"{record['location']}@{record['revision'][:8]}" if record["kind"] == "hub" else str(record["location"])


def small(story: Story) -> dict[str, dict[str, Any]]:
    """Scores of the quantised candidates."""
    return {key: scores for key, scores in story.scores.items() if kind(story, key) == "small"}


def synthetic(story: Story) -> dict[str, Any]:
    """What is told of rows that a teacher made, by name; nothing where none was asked."""
    facts = story.generated
    if not facts.get("requests"):
        return {}
    varied = facts["diversity"]
    told = {
        "recipe": facts["recipe"],
        "teacher": facts["teacher"],
        "terms for its answers": facts["licence"],
        "rows kept": sum(facts["out"].values()),
        "responses used": facts["requests"],
        "tokens sent": facts["input_tokens"],
        "tokens answered": facts["output_tokens"],
        "cost at the given prices": facts["cost"],
    }
    for what in ("questions", "answers"):
        if what in varied:
            told[f"mean words of {what}"] = varied[what]["mean_words"]
            told[f"distinct word pairs in {what}"] = percent(varied[what]["distinct_pairs"])
    if "commonest_opening" in varied:
        opening, share = varied["commonest_opening"], percent(varied["commonest_opening_share"])
        told["commonest opening of a question"] = f"{opening} … ({share})"
    return told


def slice_names(story: Story) -> list[str]:
    return sorted({key for scores in story.scores.values() for key in scores["slices"].get("slice", {})})


def comparison(story: Story) -> dict[str, Any]:
    """What comparison.json holds."""
    return {
        "candidates": {
            key: {**scores["metrics"], "slices": scores["slices"].get("slice", {})}
            for key, scores in story.scores.items()
        }
    }


def samples(story: Story, count: int) -> list[dict[str, Any]]:
    """Rows with every answer side by side: those the tuned model has wrong, then those that only a
    quantised one has wrong, then right ones."""
    rows = story.predictions[TUNED]
    quantised = [story.predictions[key] for key in small(story)]

    def rank(number: int) -> int:
        if not right(rows[number], story):
            return 0
        return 2 if all(right(answers[number], story) for answers in quantised) else 1

    chosen = sorted(range(len(rows)), key=lambda number: (rank(number), number))[:count]
    return [
        {
            "id": rows[number]["id"],
            "slice": rows[number]["slice"],
            "prompt": rows[number]["prompt"],
            "reference": rows[number]["reference"],
            "answers": _answers(story, number),
        }
        for number in chosen
    ]


def _answers(story: Story, number: int) -> list[dict[str, Any]]:
    """What the candidates answered to row `number`; those that said the same stand together."""
    by_output: dict[str, list[str]] = {}
    for key, rows in story.predictions.items():
        by_output.setdefault(rows[number]["output"], []).append(key)
    row = story.predictions[TUNED][number]
    return [
        {
            "names": [name(key) for key in keys],
            "right": right(story.predictions[keys[0]][number], story),
            "parts": parts(row["reference"], output),
        }
        for output, keys in by_output.items()
    ]


def right(row: dict[str, Any], story: Story) -> bool:
    """Whether a prediction has the full score of the metric that decides; by a loss none is right or wrong."""
    value = row[metric(story)]
    return value is not None and value >= 1.0 and story.scores[TUNED]["metrics"][metric(story)]["better"] == "higher"


def parts(reference: str, output: str) -> tuple[str, str, str]:
    """`output` cut in three: words shared with the start of `reference`, what differs, words shared with its end."""
    expected, found = (re.findall(r"\s+|\S+", text) for text in (reference, output))
    most = min(len(expected), len(found))
    start = next((place for place in range(most) if expected[place] != found[place]), most)
    end = next((place for place in range(most - start) if expected[-1 - place] != found[-1 - place]), most - start)
    last = len(found) - end
    return "".join(found[:start]), "".join(found[start:last]), "".join(found[last:])
