"""What the numbers mean, in words and in the order a reader wants them."""

import re
from typing import Any

from tasks.report.gather import Story

TUNED = "merged"
"""The candidate that stands for the tuned model: what is shipped."""


def name(candidate: str) -> str:
    """A candidate as it is called on the page."""
    return {"base_few_shot": "base with examples", "adapter": "tuned (adapter)", "merged": "tuned (merged)"}.get(
        candidate, candidate
    )


def kind(candidate: str) -> str:
    """The group a candidate belongs to: before tuning, tuned, or made small."""
    return "before" if candidate.startswith("base") else "tuned" if candidate in ("adapter", "merged") else "small"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def summary(story: Story) -> list[str]:
    """The result in a few sentences: what was tuned, how well it does, against what, and what quantising costs."""
    tuned, base, shots = (story.scores[key]["exact_match"] for key in (TUNED, "base", "base_few_shot"))
    said = [
        f"{method(story)} of {base_name(story)} on {story.training['rows']:,} rows "
        f"({story.training['supervised_tokens']:,} trained tokens, {story.training['steps']:,} steps).",
        f"The tuned model answers {percent(tuned['value'])} of {tuned['n']} held-out rows exactly as the reference "
        f"does (95 % interval {percent(tuned['low'])} to {percent(tuned['high'])}); the base {percent(base['value'])}, "
        f"and {percent(shots['value'])} with examples in its prompt.",
        _verdict(tuned, base, shots),
    ]
    lost = {key: tuned["value"] - scores["exact_match"]["value"] for key, scores in small(story).items()}
    if lost:
        worst = max(lost, key=lambda key: lost[key])
        said.append(
            f"Quantising costs at most {100 * lost[worst]:.1f} points ({worst})."
            if lost[worst] > 0
            else "No quantised model does worse than the merged one."
        )
    return said


def _verdict(tuned: dict[str, float], base: dict[str, float], shots: dict[str, float]) -> str:
    best = max(base, shots, key=lambda match: match["value"])
    if tuned["low"] > best["high"]:
        return "The intervals do not overlap: chance in the choice of rows does not explain the gain."
    if tuned["value"] > best["value"]:
        return "The intervals overlap: with this many rows the gain may be chance; more held-out rows would tell."
    return "Tuning did not help: what was free does as well."


def method(story: Story) -> str:
    if story.merge["method"] == "full":
        return "Full fine-tuning"
    rank = story.settings.get("train", {}).get("lora.r")
    name = "LoRA" if story.merge["method"] == "lora" else str(story.merge["method"])
    return f"{name} fine-tuning (rank {rank})" if rank else f"{name} fine-tuning"


def base_name(story: Story) -> str:
    record = story.base
    if record["kind"] == "trained":
        return "a base trained from scratch"
    return f"{record['location']}@{record['revision'][:8]}" if record["kind"] == "hub" else str(record["location"])


def small(story: Story) -> dict[str, dict[str, Any]]:
    """Scores of the quantised candidates."""
    return {key: scores for key, scores in story.scores.items() if kind(key) == "small"}


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
    return sorted({key for scores in story.scores.values() for key in scores["slices"]})


def comparison(story: Story) -> dict[str, Any]:
    """What comparison.json holds."""
    return {
        "candidates": {
            key: {"exact_match": scores["exact_match"], "slices": scores["slices"]}
            for key, scores in story.scores.items()
        }
    }


def samples(story: Story, count: int) -> list[dict[str, Any]]:
    """Rows with every answer side by side: those the tuned model has wrong, then those that only a
    quantised one has wrong, then right ones."""
    rows = story.predictions[TUNED]
    quantised = [story.predictions[key] for key in small(story)]

    def rank(number: int) -> int:
        if not rows[number]["exact_match"]:
            return 0
        return 2 if all(answers[number]["exact_match"] for answers in quantised) else 1

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
            "right": story.predictions[keys[0]][number]["exact_match"],
            "parts": parts(row["reference"], output),
        }
        for output, keys in by_output.items()
    ]


def parts(reference: str, output: str) -> tuple[str, str, str]:
    """`output` cut in three: words shared with the start of `reference`, what differs, words shared with its end."""
    expected, found = (re.findall(r"\s+|\S+", text) for text in (reference, output))
    most = min(len(expected), len(found))
    start = next((place for place in range(most) if expected[place] != found[place]), most)
    end = next((place for place in range(most - start) if expected[-1 - place] != found[-1 - place]), most - start)
    last = len(found) - end
    return "".join(found[:start]), "".join(found[start:last]), "".join(found[last:])
