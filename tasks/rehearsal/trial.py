"""The stages that tune and merge, tried on a small copy of the base: what they would refuse after hours, in seconds."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import CheckFailed, ModelError, TemperError
from tasks.merge.adapter import Adapter, read
from tasks.merge.trained import MergeOptions, open_trained
from tasks.models.loading import grow, load_model
from tasks.models.tuning import save
from tasks.quantize.schemes import SCHEMES, Calibration
from tasks.training.adapters import attach
from tasks.training.tuning_settings import Tuning

ROWS, TOKENS = 4, 24
"""Rows that models are compared on, and tokens of each."""

NEW = 2
"""Tokens that the base does not know, where the template brings some."""

TOLERANCE = 1e-3
"""Largest difference of a logit that a later token makes, as a share of the largest one."""

MISSED = 0.05
"""Largest difference of a logit after merging, as a share of what tuning changed: what a merge leaves out is more, and
what rounding makes of random weights is less."""

RANK = 4
"""Of the adapter: the copy is narrower than what a larger one fits into."""

TRIED = ("lora", "qlora", "dora", "rslora", "lora_plus", "full")
"""Methods that do not depend on a model's sizes; for others, the plain adapter is tried."""


def rows(vocabulary: int) -> list[dict[str, list[int]]]:
    """Random token ids below `vocabulary`, the last of them in each row."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(3, vocabulary, (ROWS, TOKENS), generator=generator).tolist()
    return [{"input_ids": [*row, vocabulary - 1]} for row in drawn]


def check_causal(model: Any, location: str) -> None:
    """Raise `ModelError` where a token changes what `model` says before it."""
    first = torch.tensor([rows(model.get_input_embeddings().num_embeddings)[0]["input_ids"]])
    other = first.clone()
    other[0, -1] = 3
    with torch.no_grad():
        before, after = (model(input_ids=ids, use_cache=False).logits[0, :-1] for ids in (first, other))  # (T - 1, V)
    if (before - after).abs().max() > TOLERANCE * before.abs().max():
        raise ModelError(
            f"{location}: a {type(model).__name__} lets a token attend to later ones, so it is not a causal language "
            "model; choose a causal language model for the section base."
        )


def check_rows_apart(model: Any, settings: Any, packed: bool) -> None:
    """Raise `CheckFailed` where rows shall share a line of a batch and `model` mixes them."""
    if not packed and settings.padding_free is not True:
        return
    from tasks.training.packs import choose_collator
    from tasks.training.padding import use_padding_free

    pair = rows(model.get_input_embeddings().num_embeddings)
    if packed:
        choose_collator("train", model, pair)
    else:
        use_padding_free("train", settings, model, pair)


def tune(what: str, model: Any, tuning: Tuning, new_tokens: bool, base: Path, trained: Path) -> None:
    """Save `model` in `base`, tune it as `tuning` says with random numbers for what training finds, save `trained`.

    Raises `SettingsError` where the method does not fit, `CheckFailed` where nothing of it gets a gradient.
    """
    model.save_pretrained(base)
    known = model.get_input_embeddings().num_embeddings
    grown = grow(model, range(known + NEW)) if new_tokens else False
    pair = rows(known + NEW * grown)
    tuned = attach(what, tuning, model, pair, trained.parent, grown)
    ids = torch.tensor([row["input_ids"] for row in pair])
    trainable = [weight for weight in tuned.parameters() if weight.requires_grad]
    tuned.train()
    logits = tuned(input_ids=ids, use_cache=False).logits
    loss: Any = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
    loss.backward()
    moved = [weight for weight in trainable if weight.grad is not None and weight.grad.abs().max() > 0]
    if not moved:  # and what gets none stays where it is: layers whose weights the model reads by itself
        raise CheckFailed(f"{what}: no weight tuned by {what}.method {tuning.method} gets a gradient.")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in moved:
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    save(tuned.eval(), trained, str(base))


def merge(base: Path, trained: Path, tokenizer: Any, out: Path) -> None:
    """Merge what lies in `trained` into `base`, write `out`, and raise `CheckFailed` unless it computes the same."""
    adapter: Adapter | None = None
    if (trained / "adapter_config.json").is_file():
        adapter = read(trained, {"sha256": "", "location": str(base)})
    opened = open_trained(base, adapter, trained, MergeOptions())
    probes = [row["input_ids"] for row in rows(opened.rows)]
    before, expected = opened.live(probes)
    out.mkdir()
    opened.write(tokenizer, torch.float32, True, out)
    merged = load_model(out, torch.float32)
    for ids, untuned, right in zip(probes, before, expected, strict=True):
        with torch.no_grad():
            logits = merged(input_ids=torch.tensor([ids]), use_cache=False).logits[0]  # (T, V)
        effect = (right - untuned).abs().max()
        if (logits[:, : right.shape[-1]] - right).abs().max() > MISSED * effect:
            raise CheckFailed("merge: the merged model gives other outputs than the base with the live adapter.")


def rehearse(
    what: str, copy: Callable[[], Any], tuning: Tuning, new_tokens: bool, tokenizer: Any, location: str
) -> None:
    """Tune and merge what `copy` gives, a new small copy of the base each time.

    Raises `ModelError` where that fails, and names the key that would help: without new tokens, if it works so.
    """
    lora = tuning.lora.model_copy(update={"r": min(tuning.lora.r, RANK), "target_modules": "all-linear"})
    method = tuning.method if tuning.method in TRIED and not tuning.particular else "lora"
    plain = Tuning(method=method, lora=lora)
    reason = _failure(what, copy(), plain, new_tokens, tokenizer)
    if reason is None:
        return
    if new_tokens and _failure(what, copy(), plain, False, tokenizer) is None:
        raise ModelError(
            f"{location}: this kind of model cannot take new tokens (tested on a small copy: {reason}); set "
            "template.new_tokens to [], and choose a chat template whose tokens the base has."
        )
    raise ModelError(
        f"{location}: this kind of model cannot be tuned and merged with the method {method} (tested on a small copy: "
        f"{reason}); choose another {what}.method or another base."
    )


def _failure(what: str, model: Any, tuning: Tuning, new_tokens: bool, tokenizer: Any) -> str | None:
    """Why tuning `model` and merging the result fails; None where it works."""
    with tempfile.TemporaryDirectory(prefix="temper-") as folder, warnings.catch_warnings(action="ignore"):
        scratch = Path(folder)
        try:
            tune(what, model, tuning, new_tokens, scratch / "base", scratch / "trained")
            merge(scratch / "base", scratch / "trained", tokenizer, scratch / "merged")
        except TemperError as error:
            return str(error).replace(f"{scratch}/", "").rstrip(".")
        except Exception as error:  # of libraries: they raise anything where a model is not what they expect
            return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(".")
    return None


def check_bits(
    copy: Callable[[], Any], schemes: list[str], quantized: str | None, tokenizer: Any, location: str
) -> None:
    """Raise `ModelError` where bitsandbytes cannot hold what `copy` gives by one of `schemes`, or as it is trained.

    `quantized`: the scheme by which the base is held in training; None where it is not quantised.
    """
    wanted = [name for name in schemes if SCHEMES[name].writer == "bits"]
    for name in dict.fromkeys([*wanted, *([quantized] if quantized else [])]):
        if reason := _bits_failure(copy(), name, tokenizer):
            advice = f"remove {name} from quantize.schemes" if name in wanted else ""
            training = "set train.method to lora and train.quantization to null" if name == quantized else ""
            raise ModelError(
                f"{location}: this kind of model cannot be quantised by {name} (tested on a small copy: {reason}); "
                f"{' and '.join(filter(None, (advice, training)))}."
            )


def _bits_failure(model: Any, scheme: str, tokenizer: Any) -> str | None:
    ids = torch.tensor([row["input_ids"] for row in rows(model.get_input_embeddings().num_embeddings)])
    with tempfile.TemporaryDirectory(prefix="temper-") as folder, warnings.catch_warnings(action="ignore"):
        whole, small = Path(folder) / "whole", Path(folder) / "small"
        try:
            model.save_pretrained(whole)
            tokenizer.save_pretrained(whole)
            SCHEMES[scheme].write(whole, small, Calibration(list))
            with torch.no_grad():
                load_model(small)(input_ids=ids, use_cache=False)
        except Exception as error:  # of libraries: they raise anything where a model is not what they expect
            return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(".")
    return None
