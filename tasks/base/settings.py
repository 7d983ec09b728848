"""Settings of the base model."""

from typing import Annotated

from pydantic import Field, model_validator

from tasks.core.paths import PATHS
from tasks.core.settings import Settings as Section
from tasks.models.hub import Pinned
from tasks.training.settings import Batched

Positive = Annotated[int, Field(ge=1)]


class Architecture(Section):
    """Shape of the Llama that is trained from scratch, and of its byte-level BPE tokenizer."""

    vocabulary: Annotated[int, Field(ge=300)] = 2000
    """Tokens in the vocabulary at most, 256 bytes and 3 control tokens included; a narrow text gives fewer."""
    hidden_size: Positive = 192
    """Width of the residual stream, in numbers."""
    intermediate_size: Positive = 512
    """Width of the feed-forward layers."""
    layers: Positive = 4
    """Transformer blocks."""
    heads: Positive = 6
    """Attention heads; divides hidden_size."""
    context: Positive = 256
    """Longest sequence, in tokens."""

    @model_validator(mode="after")
    def _divides(self) -> "Architecture":
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of 2 x heads = {2 * self.heads}")
        return self


class Settings(Section):
    """The section `base`."""

    folder: str = str(PATHS.seed)
    """A model folder (config.json, safetensors, tokenizer; or a Llama of Meta, torchtune or litgpt), or a seed to train
    a small base from."""
    hub: Pinned | None = None
    """A hub model with pinned revision, as `organisation/name@<40 hex digits>`; takes the place of the folder."""
    architecture: Architecture = Architecture()
    """Shape of the base that is trained from the seed; without effect for a ready model."""
    lines: Positive = 38400
    """Lines of pretraining text made from the seed; each is a row."""
    pretraining: Batched = Batched()
    """Optimisation of the pretraining."""
