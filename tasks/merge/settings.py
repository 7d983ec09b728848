"""Section `merge` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Settings as Section
from tasks.merge.combine import Combine


class Settings(Section):
    """The section `merge`."""

    probes: Annotated[int, Field(ge=1)] = 16
    """Rows of the validation split (or of the training split if there is none) on which both models are compared."""
    dtype: Literal["base", "float32", "bfloat16", "float16"] = "base"
    """Data type of the merged weights; base: each tensor as the base stores it."""
    tolerance: Annotated[float, Field(gt=0)] = 1e-3
    """Largest difference between a logit of the merged model and that of the base with the live adapter, if the merged
    model is stored as float32. For an embedding model: largest 1 - cosine between the two vectors of a text."""
    max_error: Annotated[float, Field(gt=0)] = 0.05
    """For other data types: largest divergence (mean Kullback-Leibler, nats per token) of the merged model from the
    base with the live adapter, as a share of the divergence that training caused. For an embedding model of any data
    type: largest 1 - cosine, as a share of the largest that training caused."""
    trained_on: Literal["auto", "stored", "nf4", "fp4", "int8"] = "auto"
    """The base weights that the adapter was trained on: as stored, or as quantised by bitsandbytes (QLoRA), which are
    then dequantised before the merge; auto: what data/trained/training.json says, otherwise stored."""
    double_quant: bool = True
    """Whether the scales were quantised too, if `trained_on` is nf4 or fp4."""
    base_names: tuple[str, ...] = ()
    """Other names of the base, as adapters not trained by temper give them in adapter_config.json, such as its name on
    the hub if the base is a folder; `unnamed` stands for an adapter that names no base. By listing a name, you confirm
    that it is the same model."""
    combine: Combine | None = None
    """Other adapters or models of the same base, in data/adapters, to combine with the trained one; null: none."""
