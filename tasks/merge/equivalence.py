"""How far two models are apart: logits, divergence and greedy tokens on the same token ids.

Notation: n rows, t tokens of a row, v vocabulary.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.contract.errors import CheckFailed, InputError

TOKENS = 256
"""Most tokens of a probe; a longer row is compared on its first ones."""


@dataclass(frozen=True)
class Difference:
    """What changed between a reference and a candidate over all tokens of all probes."""

    probes: int
    """Rows compared."""
    tokens: int
    """Positions compared."""
    largest: float
    """Largest absolute difference of a logit."""
    divergence: float
    """Mean Kullback-Leibler divergence of the candidate from the reference, in nats a token."""
    agreement: float
    """Share of positions whose most likely next token is the same."""

    def as_dict(self) -> dict[str, float]:
        """Rounded to 4 significant digits, as it is told."""
        return {
            "probes": self.probes,
            "tokens": self.tokens,
            "max_logit_difference": float(f"{self.largest:.4g}"),
            "kl_per_token": float(f"{self.divergence:.4g}"),
            "same_greedy_token": float(f"{self.agreement:.4g}"),
        }


def probes(folder: Path, count: int) -> list[list[int]]:
    """Token ids of the first `count` rows of `validation.arrow` in `folder`, or of `train.arrow` where it is empty."""
    import pyarrow as pa

    for split in ("validation", "train"):
        file = folder / f"{split}.arrow"
        if not file.is_file():
            raise InputError(f"{file}: no such file; run the stage template first.")
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
            rows = stream.read_all().column("input_ids").slice(0, count).to_pylist()
        if rows:
            return [row[:TOKENS] for row in rows]
    raise InputError(f"{folder}: neither validation.arrow nor train.arrow has a row to compare models on.")


@torch.no_grad()
def logits(model: Any, rows: list[list[int]]) -> list[torch.Tensor]:
    """Logits (t, v) in float32 for each row, one row at a time so that padding plays no part."""
    model.eval()
    return [model(input_ids=torch.tensor([row], device=model.device)).logits[0].float().cpu() for row in rows]


def compare(reference: list[torch.Tensor], candidate: list[torch.Tensor], what: str) -> Difference:
    """Measure `candidate` against `reference`. Raises `CheckFailed` where a logit is not a finite number."""
    largest, divergence, same, tokens = 0.0, 0.0, 0, 0
    for expected, found in zip(reference, candidate, strict=True):
        if not (torch.isfinite(expected).all() and torch.isfinite(found).all()):
            raise CheckFailed(f"{what}: logits are not finite numbers (NaN or infinity); the model is unusable.")
        largest = max(largest, (expected - found).abs().max().item())
        log_expected, log_found = expected.double().log_softmax(-1), found.double().log_softmax(-1)
        divergence += (log_expected.exp() * (log_expected - log_found)).sum().item()
        same += int((expected.argmax(-1) == found.argmax(-1)).sum())
        tokens += len(expected)
    return Difference(len(reference), tokens, largest, max(divergence / tokens, 0.0), same / tokens)
