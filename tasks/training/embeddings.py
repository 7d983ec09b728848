"""Embeddings that an adapter has to train: those of tokens that the base does not know yet."""

from typing import Any

import torch

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS


def check_embeddings(what: str, method: str, config: Any, model: Any, grown: bool) -> None:
    """Raise `SettingsError` where an adapter by `method` cannot train the embeddings of `model` that it has to train.

    `config`: peft's of the method. `model`: the base, or its skeleton without weights. `grown` as for `attach`.
    """
    tied = bool(model.config.tie_word_embeddings)
    if method == "trainable_tokens" and tied:
        raise SettingsError(
            f"{PATHS.params}: {what}.method trainable_tokens does not work with trl on a base whose head shares the "
            "weights of the embeddings; set it to freeze with freeze.names: [embed_tokens], or to lora."
        )
    if not grown:
        return
    if not hasattr(config, "modules_to_save") or (tied and not hasattr(config, "ensure_weight_tying")):
        raise SettingsError(
            f"{PATHS.params}: template.new_tokens adds rows of embeddings, but {what}.method {method} cannot train "
            "them on this base; set it to lora, freeze or full."
        )
    layers = _embeddings(model)
    rows = model.get_input_embeddings().num_embeddings
    for name, layer in model.named_modules():  # such as Gemma 4's embeddings for each layer, which grow with the others
        if isinstance(layer, torch.nn.Embedding) and id(layer) not in layers and layer.num_embeddings == rows:
            raise SettingsError(
                f"{PATHS.params}: template.new_tokens also adds rows to {name}, which {what}.method {method} would not "
                "save; set it to full, or remove the new tokens."
            )


def train_embeddings(config: Any, model: Any) -> None:
    """Have the adapter train and save the embeddings too: nothing else does, and the new tokens would mean nothing."""
    layers = _embeddings(model)
    names = [name.rsplit(".", 1)[-1] for name, layer in model.named_modules() if id(layer) in layers]
    config.modules_to_save = sorted({*(config.modules_to_save or ()), *names})
    if hasattr(config, "ensure_weight_tying"):
        config.ensure_weight_tying = bool(model.config.tie_word_embeddings)


def _embeddings(model: Any) -> set[int]:
    """Ids of the layers of `model` that have a row for each token."""
    return {id(layer) for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
