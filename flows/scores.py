"""The comparison that `report` wrote, for the terminal and for the UI."""

import json
from pathlib import Path
from typing import Any

COMPARISON = Path("data/report/comparison.json")
DECISION = Path("data/decision/decision.json")
REPORT = Path("data/report/report.html")


def rows() -> list[dict[str, Any]]:
    """One row a candidate: the metric that decides, its 95 % interval and number of rows, then its slices."""
    table = []
    decision = json.loads(DECISION.read_text()) if DECISION.is_file() else {}
    main = decision.get("metric", "exact_match")
    for name, scores in json.loads(COMPARISON.read_text())["candidates"].items():
        metric = main if main in scores else next(key for key in scores if key != "slices")
        score = scores[metric]
        row = {
            "candidate": name,
            metric.replace("_", " "): f"{score['value']:.3f}",
            "95 % interval": f"{score['low']:.3f} - {score['high']:.3f}",
            "rows": score["n"],
        }
        for part, values in scores.get("slices", {}).items():
            row[part.replace("_", " ")] = f"{values[metric]['value']:.3f}"
        table.append(row)
    return table
