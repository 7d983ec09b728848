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
from tasks.models.equivalence import digits
from tasks.models.foreign import foreign
from tasks.models.loading import load_tokenizer
from tasks.models.reload import Reloader
from tasks.models.vectors import ROUNDING, distances, texts

BY = "peft with the whole base in memory: an embedding model is the base without its language head"


def merge_embedder(
    settings: Settings, paths: Paths, base: Path, adapter: Adapter | None, sha256: str, dtype: torch.dtype
) -> None:
    """Write `data/merged`; raise `CheckFailed` where its vectors are not those of the trained model."""
    embedder, tokenizer = Embedder.of(paths.tokenizer), load_tokenizer(paths.tokenizer)
    probes = texts(paths.templated, settings.probes)
    with Reloader() as reloader, written(paths.merged) as out:
        model = embedder.load(base, dtype=torch.float32).eval()
        before = embedder.embedded(model, probes)
        with foreign(paths.trained, "restore the files of both, or train again", "the trained model cannot be run"):
            model = with_adapter(model, adapter.folder) if adapter else load_whole(paths.trained)
        expected = embedder.embedded(model, probes)
        effect = distances(before, expected, str(PATHS.trained)).max().item()
        out.mkdir()
        save_reading(merge_whole(model) if adapter else model, tokenizer, dtype, out)
        embedder.save(out, len(expected[0]))
        measured = reloader.logits(out, probes)
        lost = distances(expected, measured, str(PATHS.merged)).max().item()
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
            "probes": len(probes),
            "max_cosine_distance": digits(lost),
            "max_vector_difference": digits((torch.stack(expected) - torch.stack(measured)).abs().max().item()),
        }
        write_json(out / "merge.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    print(f"merge: {facts['parameters']:,} parameters, largest cosine distance {shown(lost, 2)}", flush=True)


def _judge(settings: Settings, adapter: Adapter | None, dtype: torch.dtype, lost: float, effect: float) -> None:
    """Raise `CheckFailed` unless what was written gives the vectors of what was trained, as far as its type can."""
    if adapter and effect == 0:
        raise CheckFailed(
            f"{adapter.folder}: the adapter changes no vector of the base, so nothing was trained, or this is not the "
            "adapter that was trained; run the stage train again."
        )
    limit, key = settings.max_error * effect, "max_error"  # a share of what training moved, which may be little
    if dtype == torch.float32 and settings.tolerance < limit:
        limit, key = settings.tolerance, "tolerance"
    if lost > max(limit, ROUNDING):
        raise CheckFailed(
            f"{PATHS.merged}: the vectors of the merged model differ by up to {shown(lost, 3)} (cosine distance) from "
            f"those of the base with the live adapter, more than the {shown(limit, 3)} that merge.{key} allows; set "
            f"merge.dtype to float32, use the adapter unmerged, or raise merge.{key}."
        )
