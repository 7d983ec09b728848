"""Section `quantize` of params.yaml."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tasks.core.settings import Settings as Section
from tasks.named.choices import hint
from tasks.quantize.schemes import SCHEMES

Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Section):
    """The section `quantize`."""

    schemes: list[str] = Field(default_factory=lambda: ["nf4", "int8", "gguf-q8_0"])
    """Quantised models to make and evaluate, each once; [] for none. docs/registries.md lists the schemes."""
    probes: Annotated[int, Field(ge=1)] = 16
    """Rows of the validation split (or of the training split if there is none) on which models are compared."""
    calibration: Annotated[int, Field(ge=1)] = 128
    """Number of training rows, from the first on, for the calibration of gptq and for `imatrix`."""
    imatrix: bool = False
    """For gguf schemes below 8 bits: weight the rounding by the activations on `calibration` rows (llama.cpp's
    importance matrix). The result is closer to the merged model at the same size. It costs one pass of llama.cpp over
    these rows."""
    max_divergence: Annotated[float, Field(gt=0)] = 1.0
    """Largest mean Kullback-Leibler divergence from the merged model, in nats per token, before the stage fails; for
    schemes that `limits` does not name. Embedding models use only `limits`."""
    limits: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """The same limit for single schemes, as SCHEME: NUMBER, in nats per token. For an embedding model: largest mean
    distance (1 - cosine) of a text's vector from that of the merged model, as a share of the mean distance between two
    texts; 0.2 for schemes that are not named."""
    min_same_tokens: Share = 0.0
    """Smallest share of positions (0 to 1) at which the most likely next token is that of the merged model."""
    min_same_stops: Share = 0.9
    """Smallest share of positions (0 to 1) at which both models would stop, or neither would."""
    min_low_bits: Share = 0.5
    """Smallest share (0 to 1) of the weights in matrices, not counting embeddings and head, that a scheme must store in
    fewer bits. bitsandbytes leaves the fused experts of a mixture-of-experts model as they are."""

    @field_validator("schemes")
    @classmethod
    def _known(cls, schemes: list[str]) -> list[str]:
        if unknown := [scheme for scheme in schemes if scheme not in SCHEMES]:
            raise ValueError(f"unknown scheme {unknown[0]}; {hint(unknown[0], SCHEMES)}")
        return schemes

    @field_validator("limits")
    @classmethod
    def _of_schemes(cls, limits: dict[str, float]) -> dict[str, float]:
        if unknown := [scheme for scheme in limits if scheme not in SCHEMES]:
            raise ValueError(f"unknown scheme {unknown[0]}; {hint(unknown[0], SCHEMES)}")
        return limits

    @model_validator(mode="after")
    def _weighs(self) -> "Settings":
        if self.schemes and (unlisted := [scheme for scheme in self.limits if scheme not in self.schemes]):
            raise ValueError(
                f"limits: {unlisted[0]} is not in schemes, so it has no effect; {hint(unlisted[0], self.schemes)}"
            )
        if self.imatrix and not any(SCHEMES[scheme].weighs for scheme in self.schemes):
            known = ", ".join(name for name, scheme in SCHEMES.items() if scheme.weighs)
            raise ValueError(f"imatrix has no effect on these schemes; set it to false, or add one of {known}")
        return self
