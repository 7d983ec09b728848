"""What would be refused of the base of an embedding model, before any stage has run; see `tasks.rehearsal.run`."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tasks.core.errors import CheckFailed, ModelError, TemperError
from tasks.models.embedder import POOLER, Embedder, check_kind
from tasks.rehearsal.kind import known_configuration
from tasks.rehearsal.sections import section
from tasks.rehearsal.smaller import check_shares
from tasks.rehearsal.weights import full_size

MISSED = 1e-4
"""Largest cosine distance between the vectors of a merged copy and of the copy with its adapter."""

RANK = 4
"""Of the adapter: the copy is narrower than what a larger one fits into."""


def faults(folder: Path, location: str, needed: set[str]) -> Iterator[TemperError]:
    """What stages would refuse of the base in `folder`, which the user calls `location`."""
    try:
        from transformers import AutoModel

        config = known_configuration(folder, location, headless=True)
        check_kind(config, location)
        skeleton = full_size(folder, config, location, kind=AutoModel, made_up=POOLER)
        settings = section("template")
        if settings.embed is None:
            return  # said of params.yaml
        from tasks.template.embedding import prepared

        tokenizer, embedder, *_ = prepared(folder, settings)
        if not needed.isdisjoint(("train", "merge")):
            _try(config, "tuned for embeddings", location, "choose another base", partial(_tune_and_merge, embedder))
        if "quantize" in needed:
            quantize = section("quantize")
            check_shares(skeleton, quantize.schemes, quantize.min_low_bits)
            for scheme in quantize.schemes:
                advice = f"remove {scheme} from quantize.schemes"
                _try(
                    config, f"quantised by {scheme}", location, advice, partial(_quantise, embedder, tokenizer, scheme)
                )
    except TemperError as error:
        yield error


def _try(config: Any, what: str, location: str, advice: str, attempt: Callable[[Any, Path], None]) -> None:
    """Raise `ModelError` where `attempt` fails with a small copy of the base and a folder."""
    import torch
    from transformers import AutoModel

    from tasks.rehearsal.miniature import small_configuration

    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(0)
        model = AutoModel.from_config(small_configuration(config), dtype=torch.float32)
    except Exception:  # whatever its class says of such sizes, it says nothing of the base's own
        return
    finally:
        torch.random.set_rng_state(state)
    try:
        with tempfile.TemporaryDirectory(prefix="temper-") as scratch, warnings.catch_warnings(action="ignore"):
            attempt(model, Path(scratch))
    except Exception as error:  # of libraries: they raise anything where a model is not what they expect
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(".")
        raise ModelError(
            f"{location}: this kind of model cannot be {what} (tested on a small copy: {reason}); {advice}."
        ) from None


def _quantise(embedder: Embedder, tokenizer: Any, scheme: str, model: Any, scratch: Path) -> None:
    import torch

    from tasks.quantize.schemes import SCHEMES, Calibration

    whole, small = scratch / "whole", scratch / "small"
    model.save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    embedder.save(whole, model.config.hidden_size)
    small.mkdir()
    SCHEMES[scheme].write(whole, small, Calibration(list))
    (vector,) = Embedder.of(small).embedded(embedder.load(small), [[5, 6, 7, 8]])
    if not torch.isfinite(vector).all():
        raise CheckFailed("its vectors contain NaN or infinite values")


def _tune_and_merge(embedder: Embedder, model: Any, scratch: Path) -> None:
    import torch

    from tasks.training.adapters import attach
    from tasks.training.tuning_settings import LoRA, Tuning

    method = section("train").method
    tuning = Tuning(method=method, lora=LoRA(r=RANK, target_modules="all-linear")) if method != "freeze" else Tuning()
    ids = torch.tensor([[5, 6, 7, 8], [9, 8, 7, 6]])
    mask = torch.ones_like(ids)
    tuned = attach("train", tuning, model, None, scratch, False, task="FEATURE_EXTRACTION").train()
    embedder.vectors(tuned, ids, mask)[:, ::2].sum().backward()
    moved = [weight for weight in tuned.parameters() if weight.grad is not None and weight.grad.abs().max() > 0]
    if not moved:
        raise CheckFailed("no trainable weight gets a gradient")
    if not hasattr(tuned, "peft_config"):
        return
    with torch.no_grad():
        for weight in moved:
            weight += 0.02 * torch.randn_like(weight)
        live = embedder.vectors(tuned.eval(), ids, mask)
        merged = embedder.vectors(tuned.merge_and_unload(), ids, mask)
        if (1 - torch.nn.functional.cosine_similarity(live, merged)).max() > MISSED:
            raise CheckFailed("the merged model gives other vectors than the base with the live adapter")
