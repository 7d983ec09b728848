"""Where the model of a candidate comes from."""

from typing import Any

from tasks.contract.errors import InputError, SettingsError
from tasks.contract.loading import grow, load_model
from tasks.contract.model import base_folder
from tasks.contract.paths import Paths

KNOWN = ("base", "base_few_shot", "adapter", "merged")
"""Candidates that every run has; all others are quantised models, named by their scheme."""


def check(candidate: str, paths: Paths) -> None:
    """Raise `SettingsError` for a name that is neither known nor a quantised model in data/quantized."""
    if candidate in KNOWN or (candidate and paths.quantized(candidate).is_dir()):
        return
    made = sorted(folder.name for folder in paths.quantized("").glob("[!.]*"))
    raise SettingsError(
        f"evaluate: unknown candidate '{candidate}'; known: {', '.join([*KNOWN, *made])}. A quantised model must "
        f"be made first: python -m tasks quantize {candidate or 'SCHEME'}."
    )


def load(candidate: str, paths: Paths, tokenizer: Any) -> Any:
    """The candidate's model on the best device, set to decode greedily and to stop at the tokenizer's eos.

    Every candidate gets the same generation settings: some bases bring a repetition penalty or sampling of their own,
    and some a wrong eos, which would let an answer run on.
    """
    import torch
    from transformers import GenerationConfig

    model = _load(candidate, paths, tokenizer, "cuda" if torch.cuda.is_available() else None)
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def _load(candidate: str, paths: Paths, tokenizer: Any, device: str | None) -> Any:
    if candidate in ("base", "base_few_shot"):
        return _base(paths, tokenizer, device)
    if candidate == "merged":
        return load_model(paths.merged, device=device)
    if candidate != "adapter":
        return load_model(paths.quantized(candidate), device=device)
    if not (paths.trained / "adapter_config.json").is_file():
        if not (paths.trained / "config.json").is_file():
            raise InputError(f"{paths.trained}: neither an adapter nor a model; run the stage train first.")
        return load_model(paths.trained, device=device)

    from peft import PeftModel

    return PeftModel.from_pretrained(_base(paths, tokenizer, device), paths.trained).eval()


def _base(paths: Paths, tokenizer: Any, device: str | None) -> Any:
    """The base, with embeddings for tokens that are new to it."""
    model = load_model(base_folder(paths), device=device)
    grow(model, tokenizer)
    return model
