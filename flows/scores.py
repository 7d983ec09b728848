"""The comparison that `report` wrote, for the terminal and for the UI."""

import json
from pathlib import Path
from typing import Any

COMPARISON = Path("data/report/comparison.json")
REPORT = Path("data/report/report.html")


def rows() -> list[dict[str, Any]]:
    """One row a candidate: exact match with its 95 % interval and number of rows, then its slices."""
    table = []
    for name, scores in json.loads(COMPARISON.read_text())["candidates"].items():
        score = scores["exact_match"]
        row = {
            "candidate": name,
            "exact match": f"{score['value']:.3f}",
            "95 % interval": f"{score['low']:.3f} - {score['high']:.3f}",
            "rows": score["n"],
        }
        for part, values in scores.get("slices", {}).items():
            row[part.replace("_", " ")] = f"{values['exact_match']['value']:.3f}"
        table.append(row)
    return table
