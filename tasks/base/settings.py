"""Settings of the base model."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from tasks.core.paths import PATHS
from tasks.core.settings import Location, absent
from tasks.core.settings import Settings as Section
from tasks.models.hub import Pinned
from tasks.named.choices import hint
from tasks.training import optimizers
from tasks.training.settings import Batched

Positive = Annotated[int, Field(ge=1)]


def _scaling(value: str) -> str:
    """`value`; `ValueError` with the reason where positions are not scaled that way here."""
    if value == "dynamic":
        raise ValueError(
            "not offered: a row's result would depend on the longest row in its batch, and transformers applies it "
            "only beyond max_position_embeddings; use yarn"
        )
    if value not in ("yarn", "linear", "llama3"):
        raise ValueError(f"unknown type; {hint(value, ('yarn', 'linear', 'llama3'))}")
    return value


class Architecture(Section):
    """Shape of the Llama that is trained from scratch, and of its byte-level BPE tokenizer."""

    vocabulary: Annotated[int, Field(ge=300)] = 2000
    """Largest size of the vocabulary in tokens, including 256 bytes and 3 special tokens; a narrow text gives fewer."""
    hidden_size: Positive = 192
    """Width of the residual stream."""
    intermediate_size: Positive = 512
    """Width of the feed-forward layers."""
    layers: Positive = 4
    """Transformer blocks."""
    heads: Positive = 6
    """Attention heads; hidden_size must be a multiple of twice this."""
    context: Positive = 256
    """Longest sequence, in tokens."""

    @model_validator(mode="after")
    def _divides(self) -> "Architecture":
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of 2 x heads = {2 * self.heads}")
        return self


class Pretraining(Batched):
    """Optimisation of the small base, on its lines of text; ignored for a model that exists."""

    steps: Positive | None = 400
    """Optimiser steps. null, or absent while `epochs` is set: `epochs` decides."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 4e-3
    """Peak learning rate, after warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 40
    """Steps over which the learning rate rises linearly from zero."""
    optimizer: Annotated[str, AfterValidator(optimizers.optimizer)] = "muon"
    """Optimiser, by its name in transformers, or muon, which needs a quarter of AdamW's steps here."""
    checkpoint_steps: Positive = 200
    """Steps between checkpoints."""


class Rope(Section):
    """Rotary positions of the base stretched for rows that are longer than it was made for."""

    type: Annotated[str, AfterValidator(_scaling)] = "yarn"
    """How positions are scaled. yarn: low frequencies by `factor`, high ones not at all (arXiv:2309.00071); linear: all
    by `factor` (arXiv:2306.15595); llama3: by frequency too, as Llama 3.1 does it."""
    factor: Annotated[float, Field(gt=1, le=128)] = 2.0
    """How many times longer the context becomes: max_position_embeddings is multiplied by this."""


class Settings(Section):
    """The section `base`."""

    folder: Location = str(PATHS.seed)
    """A model folder (config.json, safetensors, tokenizer; or a Llama in the files of Meta, torchtune or litgpt), or a
    seed from which a small base is trained."""
    hub: Pinned | None = None
    """A model on the hub with a pinned revision, as `organisation/name@<40 hex digits>`; used instead of the folder."""
    text: Annotated[Location | None, Field(exclude_if=absent)] = None
    """data/texts, or a folder in it: train tokenizer and model from scratch on its text files, instead of using
    `folder`. Files are UTF-8; each is a document, and so is each row of JSON Lines with the key text. Documents are
    packed into `architecture.context` tokens and kept separate. For a small model, or to try a recipe; to teach an
    existing model your texts, fine-tune it on them. null: none."""
    rope: Annotated[Rope | None, Field(exclude_if=absent)] = None
    """Scale the base's rotary positions, for rows longer than its context. data/base then holds a copy of the base with
    the same weights, to which everything is compared. Your rows must include some that are longer than the old context.
    null: no scaling."""
    architecture: Architecture = Architecture()
    """Shape of the base that is trained from a seed; no effect on an existing model."""
    lines: Positive = 38400
    """Lines of pretraining text made from the seed; each is a row. No effect if `text` is set."""
    pretraining: Pretraining = Pretraining()
    """Optimisation of the pretraining."""

    @model_validator(mode="after")
    def _one_base(self) -> "Settings":
        if self.text is not None and self.hub is not None:
            raise ValueError("hub names an existing model, but text trains a new one; set one of them to null")
        if self.text is not None and self.rope is not None:
            raise ValueError(
                "rope extends an existing model; set it to null, and architecture.context to the length that you want"
            )
        if self.text is not None and self.pretraining.group_by_length:
            raise ValueError("pretraining.group_by_length has no effect on text, which is packed; set it to false")
        return self
