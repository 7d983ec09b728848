"""An embedding model that training made, merged by peft with the whole base in memory, and compared by its vectors.

Shapes: `D` numbers of a vector.
"""

from dataclasses import asdict
from pathlib import Path

import torch

from tasks.core.errors import CheckFailed
from tasks.core.files import write_json, written
from tasks.core.numbers import shown
from tasks.core.paths import PATHS, Paths
from tasks.merge.adapter import Adapter
from tasks.merge.folder import save_reading
from tasks.merge.settings import Settings
from tasks.merge.trained import parameters
from tasks.merge.whole import load_whole, merge_whole, with_adapter
from tasks.models.embedder import Embedder
from tasks.models.equivalence import TOKENS, digits
from tasks.models.foreign import foreign
from tasks.models.loading import load_tokenizer
from tasks.models.reload import Reloader
from tasks.training.rows import load as load_rows
from tasks.training.rows import texts_of

ROUNDING = 1e-10
"""Cosine distance that rounding in float32 makes at most, where training moved nothing to speak of."""

BY = "peft with the whole base in memory: an embedding model is the base without its language head"


def merge_embedder(
    settings: Settings, paths: Paths, base: Path, adapter: Adapter | None, sha256: str, dtype: torch.dtype
) -> None:
    """Write `data/merged`; raise `CheckFailed` where its vectors are not those of the trained model."""
    embedder, tokenizer = Embedder.of(paths.tokenizer), load_tokenizer(paths.tokenizer)
    texts = _texts(paths, settings.probes)
    with Reloader() as reloader, written(paths.merged) as out:
        model = embedder.load(base, dtype=torch.float32).eval()
        before = embedder.embedded(model, texts)
        with foreign(paths.trained, "restore the files of both, or train again", "the trained model cannot be run"):
            model = with_adapter(model, adapter.folder) if adapter else load_whole(paths.trained)
        expected = embedder.embedded(model, texts)
        effect, _ = difference(before, expected)
        out.mkdir()
        save_reading(merge_whole(model) if adapter else model, tokenizer, dtype, out)
        embedder.save(out, len(expected[0]))
        lost, largest = difference(expected, reloader.logits(out, texts))
        _judge(settings, adapter, dtype, lost, effect)
        facts = {
            "method": adapter.kind if adapter else "full",
            "base": sha256,
            "parameters": parameters(out),
            "by": BY,
            "into": "the base as it is stored",
            "embedder": asdict(embedder),
            "dimension": len(expected[0]),
            "arithmetic": "float32",
            "dtype": str(dtype).removeprefix("torch."),
            "tolerance": settings.tolerance,
            "max_error": settings.max_error,
            "effect": {"max_cosine_distance": digits(effect)},
            "probes": len(texts),
            "max_cosine_distance": digits(lost),
            "max_vector_difference": digits(largest),
        }
        write_json(out / "merge.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    print(f"merge: {facts['parameters']:,} parameters, largest cosine distance {shown(lost, 2)}", flush=True)


def difference(reference: list[torch.Tensor], candidate: list[torch.Tensor]) -> tuple[float, float]:
    """The largest cosine distance (0 to 2) of two vectors (D,) of one text, and the largest difference of a number.

    Raises `CheckFailed` where a number is not finite.
    """
    one, other = torch.stack(reference).double(), torch.stack(candidate).double()
    if not (torch.isfinite(one).all() and torch.isfinite(other).all()):
        raise CheckFailed(f"{PATHS.merged}: a vector has numbers that are not finite; the model is unusable.")
    cosines = torch.nn.functional.cosine_similarity(one, other, dim=-1)
    return max((1 - cosines).max().item(), 0.0), (one - other).abs().max().item()


def _texts(paths: Paths, count: int) -> list[list[int]]:
    """Token ids of the first `count` texts of the validation split, or of train where it is empty: questions and
    documents, at most `TOKENS` of each."""
    for split in ("validation", "train"):
        rows = load_rows(paths.tokens(split))
        if texts := [text[:TOKENS] for row in rows.select(range(min(count, len(rows)))) for text in texts_of(row)]:
            return texts[:count]
    raise AssertionError("template refuses a training split without rows")


def _judge(settings: Settings, adapter: Adapter | None, dtype: torch.dtype, lost: float, effect: float) -> None:
    """Raise `CheckFailed` unless what was written gives the vectors of what was trained, as far as its type can."""
    if adapter and effect == 0:
        raise CheckFailed(
            f"{adapter.folder}: the adapter changes no vector of the base: nothing was trained, or this is another "
            "adapter than the trained one."
        )
    limit, key = settings.max_error * effect, "max_error"  # a share of what training moved, which may be little
    if dtype == torch.float32 and settings.tolerance < limit:
        limit, key = settings.tolerance, "tolerance"
    if lost > max(limit, ROUNDING):
        raise CheckFailed(
            f"{PATHS.merged}: the vectors of the merged model differ by up to {shown(lost, 3)} (cosine distance) from "
            f"those of base and live adapter, more than the {shown(limit, 3)} that merge.{key} allows; set merge.dtype "
            f"to float32, keep the adapter, or raise merge.{key}."
        )
