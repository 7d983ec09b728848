"""Who taught the model: the teacher that wrote rows, and the one whose likelihoods it learned from."""

from typing import Any

from tasks.report.gather import RunResults
from tasks.report.render import percent


def teaching(results: RunResults) -> dict[str, dict[str, Any]]:
    """Facts by name, below the heading of each teacher that there was."""
    sections = {"Synthetic rows": synthetic(results), "Teacher": taught(results)}
    return {heading: facts for heading, facts in sections.items() if facts}


def synthetic(results: RunResults) -> dict[str, Any]:
    """Facts about rows that a teacher made, by name; nothing where none was asked."""
    facts = results.generated
    if not facts.get("requests"):
        return {}
    varied = facts["diversity"]
    labels = {
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
            labels[f"mean words of {what}"] = varied[what]["mean_words"]
            labels[f"distinct word pairs in {what}"] = percent(varied[what]["distinct_pairs"])
    if "commonest_opening" in varied:
        opening, share = varied["commonest_opening"], percent(varied["commonest_opening_share"])
        labels["most common first words of a question"] = f"{opening} … ({share})"
    return labels


def taught(results: RunResults) -> dict[str, Any]:
    """Facts about the teacher whose likelihoods the model learned from, by name; nothing where there was none."""
    facts = results.training.get("taught", {})
    if not facts:
        return {}
    labels = {"teacher": facts["teacher"], "where": facts["from"], "terms for what it says": facts["licence"]}
    if "positions" in facts:
        labels |= {
            "rows that it was asked about": facts["rows"],
            "likeliest tokens of each position": facts["top"],
            "positions": facts["positions"],
            "probability of the tokens that it named": percent(facts["covered"]),
            "tokens sent": facts["input_tokens"],
            "tokens answered": facts["output_tokens"],
            "cost at the given prices": facts["cost"],
        }
    return labels
