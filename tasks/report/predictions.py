"""The page to read predictions: two candidates side by side, worst rows first, filtered by slice."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from tasks.pages.document import embedded, head, script_of
from tasks.report.gather import RunResults
from tasks.report.render import display_name, metric
from tasks.report.settings import Settings

SCRIPT = Path(__file__).parent / "templates" / "predictions.js"
DIMENSIONS = ("slice", "source", "length")


def context(settings: Settings, results: RunResults) -> dict[str, Any]:
    """What the template predictions.html.jinja wants."""
    script = script_of(SCRIPT)
    rows = worst_first(results)[: settings.predictions]
    return {
        "settings": settings,
        "shown": len(rows),
        "rows": len(results.predictions["base"]),
        "script": Markup(script),
        "head": Markup(head(f"Predictions · {settings.title}", script)),
        "data": Markup(embedded(_data(results, rows))),
    }


def worst_first(results: RunResults) -> list[int]:
    """Rows by the score of the candidate that may be shipped, the worst first; rows alike in the order of the split."""
    main, better = metric(results), _better(results)
    scores = [row[main] for row in results.predictions[results.decision["candidate"]]]
    sign = 1 if better[main] == "higher" else -1

    def rank(number: int) -> tuple[float, int]:
        return (float("-inf") if scores[number] is None else sign * scores[number], number)

    return sorted(range(len(scores)), key=rank)


def _data(results: RunResults, rows: list[int]) -> dict[str, Any]:
    better = _better(results)
    base = results.predictions["base"]
    judges = {
        judgement["candidate"]: {"by": judgement["judge"], "against": display_name(results, judgement["against"])}
        for judgement in results.judged
    }
    dimensions = [key for key in DIMENSIONS if len({base[row][key] for row in rows} - {None}) > 1]
    return {
        "first": results.decision["candidate"],
        "metrics": [{"key": key, "lower": way == "lower"} for key, way in better.items()],
        "main": metric(results),
        "dimensions": dimensions,
        "candidates": [
            {"key": key, "name": display_name(results, key), "judged": judges.get(key)} for key in results.predictions
        ],
        "rows": [
            {
                "id": base[row]["id"],
                "at": row + 1,
                "slices": [base[row][key] for key in dimensions],
                "reference": base[row]["reference"],
                "answers": [
                    {
                        "prompt": answers[row]["prompt"],
                        "output": answers[row]["output"],
                        "finish": answers[row]["finish"],
                        "scores": [answers[row][key] for key in better],
                        "judged": _judged(results.judgements.get(candidate, {}).get(base[row]["id"])),
                    }
                    for candidate, answers in results.predictions.items()
                ],
            }
            for row in rows
        ],
    }


def _judged(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a judge said of an answer: of both orders together, and in its own words of each; None where not asked."""
    if row is None:
        return None
    turned = None not in (row["first"], row["second"]) and row["first"] != row["second"]
    explanations = [text for text in (row["said_first"], row["said_second"]) if text is not None]
    return {"verdict": row["verdict"], "turned": turned, "said": explanations}


def _better(results: RunResults) -> dict[str, str]:
    metrics = results.scores["base"]["metrics"]
    return {key: metrics[key]["better"] for key in metrics}
