"""What the rows are like, for the report: lengths, sources, examples of those that left
and of what was found, the largest clusters."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.clean.privacy.filter import redact_all
from tasks.clean.split import SPLITS
from tasks.core.files import write_json

EDGES = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
"""Lower edges of the bars of the histogram, characters."""

MOST = 20
"""Sources and clusters that are named."""

EXAMPLES, SHOWN = 3, 300
"""Examples of each reason or cluster, and characters of each."""


class Profile:
    """Gathered a batch at a time; memory does not grow with the rows."""

    def __init__(self) -> None:
        self._lengths = np.zeros((len(SPLITS), len(EDGES)), np.int64)
        self._sources: Counter[str] = Counter()
        self._examples: dict[str, list[dict[str, Any]]] = {}
        self._reported: dict[str, list[dict[str, Any]]] = {}

    def add(self, batch: pa.Table, reasons: list[str | None], splits: Any, report: list[dict[str, Any]]) -> None:
        """Count a batch with the columns whole, source, file, line and row; `report`: what was reported in it."""
        stays = np.array([reason is None for reason in reasons], dtype=bool)
        lengths = pc.fill_null(pc.utf8_length(batch.column("whole")), 0).to_numpy()
        bars = np.searchsorted(EDGES, lengths, side="right") - 1
        for split in range(len(SPLITS)):
            self._lengths[split] += np.bincount(bars[stays & (splits == split)], minlength=len(EDGES))
        counted = pc.value_counts(batch.column("source").filter(pa.array(stays)))
        self._sources.update({item["values"].as_py(): item["counts"].as_py() for item in counted})
        for at in np.flatnonzero(~stays):
            shown = self._examples.setdefault(str(reasons[at]), [])
            if len(shown) < EXAMPLES:
                row = {name: batch.column(name)[int(at)].as_py() for name in ("file", "line", "row")}
                shown.append({**row, "row": redact_all(row["row"])[:SHOWN]})

        for line in report:
            shown = self._reported.setdefault(line["finding"], [])
            if len(shown) < EXAMPLES:
                shown.append({name: line[name] for name in ("file", "line", "shown")})

    def write(self, path: Path, clusters: list[dict[str, Any]]) -> None:
        """Write everything as JSON."""
        sources = sorted(self._sources.items(), key=lambda item: (-item[1], item[0]))
        write_json(
            path,
            {
                "characters": {
                    "edges": list(EDGES),
                    "rows": {name: self._lengths[at].tolist() for at, name in enumerate(SPLITS)},
                },
                "sources": {redact_all(name): count for name, count in sources[:MOST]},
                "other_sources": sum(count for _, count in sources[MOST:]),
                "left_out": self._examples,
                "reported": self._reported,
                "clusters": clusters,
            },
        )
