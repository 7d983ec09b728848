"""An embedding model against its quantised copy: vectors of the same texts.

A cosine says little by itself: in many models any two texts lie near each other. So what rounding moves is measured
by how far texts lie apart, which is what a search goes by.
"""

from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import CheckFailed
from tasks.core.numbers import shown
from tasks.core.paths import PATHS, Paths
from tasks.models.embedder import Embedder
from tasks.models.equivalence import digits
from tasks.models.vectors import ROUNDING, distances, spread, texts
from tasks.quantize.settings import Settings

SHARE = 0.2
"""Of the distance between two texts: how far vectors may move on average, where `limits` does not name the scheme."""


class Vectors:
    """What the merged model computes, and how far a copy may be from it."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        self.settings, embedder = settings, Embedder.of(paths.merged)
        self.rows = texts(paths.templated, settings.probes)
        model = embedder.load(paths.merged, dtype=torch.float32)
        self.expected = embedder.embedded(model, self.rows)
        self.vocabulary = int(model.get_input_embeddings().num_embeddings)
        """Rows of the embeddings."""

    def compare(self, out: Path, scheme: str, advice: str) -> tuple[dict[str, Any], str]:
        """What is measured of the copy in `out`, and that in a few words.

        Raises `CheckFailed` where it is too far away, with `advice` how to do without it.
        """
        where, embedder = str(PATHS.quantized(scheme)), Embedder.of(out)
        moved = distances(self.expected, embedder.embedded(embedder.load(out), self.rows), where)
        mean, apart = moved.mean().item(), spread(self.expected)
        share, limit = mean / apart if apart else 0.0, self.settings.limits.get(scheme, SHARE)
        if mean > max(limit * apart, ROUNDING):
            raise CheckFailed(
                f"{where}: its vectors differ by {shown(mean, 3)} (mean cosine distance) from those of the merged "
                f"model. That is {share:.1%} of the {shown(apart, 3)} between two texts, more than the {limit:.1%} "
                f"that quantize.limits allows {scheme}; {advice} set quantize.limits.{scheme} to a larger share."
            )
        facts = {
            "max_share": limit,
            "probes": len(self.rows),
            "mean_cosine_distance": digits(mean),
            "max_cosine_distance": digits(moved.max().item()),
            "between_texts": digits(apart),
        }
        return facts, f"mean cosine distance {shown(mean, 2)} from merged, {share:.1%} of that between two texts"
