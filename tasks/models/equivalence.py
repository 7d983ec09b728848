"""How far two models are apart: logits, divergence and greedy tokens on the same token ids.

Shapes: `N` rows, `T` tokens of a row, `V` vocabulary.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import CheckFailed, InputError
from tasks.core.progress import counting
from tasks.models.classes import tells_each_class
from tasks.training.stretches import last_stretches

TOKENS = 256
"""Most tokens of a probe; a longer row is compared on its first ones."""

LOGITS = 2**27
"""Most logits that are held of one model, half a gigabyte; a large vocabulary leaves fewer tokens a probe."""


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
    stops: float
    """Share of positions at which both would stop, or neither would."""

    def as_dict(self) -> dict[str, float]:
        """Rounded to 4 significant digits, as reports show it."""
        return {
            "probes": self.probes,
            "tokens": self.tokens,
            "max_logit_difference": digits(self.largest),
            "kl_per_token": digits(self.divergence),
            "same_greedy_token": digits(self.agreement),
            "same_stops": digits(self.stops),
        }


def digits(value: float) -> float:
    """Rounded to 4 significant digits, as reports show it."""
    return float(f"{value:.4g}")


def probes(folder: Path, count: int, vocabulary: int, *, prompts: bool = False) -> list[list[int]]:
    """Token ids of the first `count` rows of the validation split in `folder`, or of train where it is empty.

    Of a row at most `TOKENS`, and fewer where the logits of a `vocabulary` of that size would not fit. `prompts`: up to
    where the answer begins, which is what a classifier reads.
    """
    for split in ("validation", "train"):
        if rows := _first_of_any_kind(folder, split, count, prompts=prompts):
            longest = max(1, min(TOKENS, LOGITS // (vocabulary * len(rows))))
            return [row[:longest] for row in rows]
    raise InputError(
        f"{folder}: neither validation nor train has rows to compare models on; run the stage template again."
    )


def training_rows(folder: Path, count: int) -> list[list[int]]:
    """Token ids of the first `count` training rows in `folder`, whole."""
    return _first_of_any_kind(folder, "train", count)


def _first_of_any_kind(folder: Path, split: str, count: int, *, prompts: bool = False) -> list[list[int]]:
    """Rows for losses on tokens; where there are none, pairs by the answer that is chosen, then judged answers."""
    rows = _first(folder / f"{split}.arrow", count, prompts=prompts)
    for part in ("preferences", "judged"):
        if not rows and (file := folder / part / f"{split}.arrow").is_file():
            rows = _first(file, count)
    return rows


def _first(file: Path, count: int, *, prompts: bool = False) -> list[list[int]]:
    import pyarrow as pa

    if not file.is_file():
        raise InputError(f"{file}: no such file; run the stage template first.")
    rows: list[list[int]] = []
    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
        for batch in stream:
            part = batch.slice(0, count - len(rows))
            for row in [] if prompts else part.to_pylist():
                answer = row.get("chosen_ids") or row.get("completion_ids")
                rows.append(row["prompt_ids"] + answer if answer else row["input_ids"])
            if prompts:
                rows += last_stretches(part).prompts.to_pylist()
            if len(rows) == count:
                break
    return rows


@torch.no_grad()
def logits(model: Any, rows: list[list[int]], what: str = "") -> list[torch.Tensor]:
    """Logits (T, V) in float32 for each of N `rows` (token ids), one row at a time so that padding plays no part.

    Of a classifier (1, C), for its C classes. Where each class applies by itself (C, 2): against its number stands a
    zero, of which softmax makes the sigmoid. `what`: what is computed, told as progress; "" where the caller tells it.
    """
    model.eval()
    asked = counting(what, rows, "rows") if what else rows
    answers = [model(input_ids=torch.tensor([row], device=model.device)).logits[0].float().cpu() for row in asked]
    if tells_each_class(getattr(model, "config", None)):
        return [torch.stack((torch.zeros_like(one), one), -1) for one in answers]
    return [torch.atleast_2d(one) for one in answers]  # type: ignore[no-untyped-call]


def compare(
    reference: list[torch.Tensor], candidate: list[torch.Tensor], what: str, stops: Collection[int] = ()
) -> Difference:
    """Measure `candidate` against `reference`, N logits (T, V) each; generation ends at any of `stops`.

        difference = compare(logits(base, rows), logits(merged, rows), "merge", {tokenizer.eos_token_id})
        difference.agreement  # share of the N * T positions with the same most likely token

    Where one has rows of embeddings that the other lacks, only the tokens that both know are compared. Raises
    `CheckFailed` where a logit is not a finite number.
    """
    largest, divergence, same, same_stops, tokens = 0.0, 0.0, 0, 0, 0
    ends = torch.tensor(sorted(stops), dtype=torch.long)
    for expected, measured in zip(reference, candidate, strict=True):
        known = min(expected.shape[-1], measured.shape[-1])
        expected, measured = expected[:, :known], measured[:, :known]
        if not (torch.isfinite(expected).all() and torch.isfinite(measured).all()):
            raise CheckFailed(f"{what}: its logits are NaN or infinite, so the model is unusable.")
        largest = max(largest, (expected - measured).abs().max().item())
        log_expected, log_measured = expected.double().log_softmax(-1), measured.double().log_softmax(-1)
        divergence += (log_expected.exp() * (log_expected - log_measured)).sum().item()
        greedy, tried = expected.argmax(-1), measured.argmax(-1)
        same += int((greedy == tried).sum())
        same_stops += int((torch.isin(greedy, ends) == torch.isin(tried, ends)).sum())
        tokens += len(expected)
    return Difference(
        len(reference), tokens, largest, max(divergence / tokens, 0.0), same / tokens, same_stops / tokens
    )
