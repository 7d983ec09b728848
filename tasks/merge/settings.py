"""Section `merge` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Settings as Section
from tasks.merge.combine import Combine


class Settings(Section):
    """The section `merge`."""

    probes: Annotated[int, Field(ge=1)] = 16
    """Rows of the validation split (of the training split where there is none) on which both models are compared."""
    dtype: Literal["base", "float32", "bfloat16", "float16"] = "base"
    """Type in which the merged weights are stored; base: each tensor as the base stores it."""
    tolerance: Annotated[float, Field(gt=0)] = 1e-3
    """Largest allowed difference of a logit between base with live adapter and what was written, stored as float32."""
    max_error: Annotated[float, Field(gt=0)] = 0.05
    """Stored as anything else: largest divergence (mean Kullback-Leibler, nats a token) of what was written from base
    with live adapter, as a share of the divergence that training made."""
    trained_on: Literal["auto", "stored", "nf4", "fp4", "int8"] = "auto"
    """Weights of the base that the adapter was trained on: as stored, or as quantised by bitsandbytes (QLoRA), into
    which it is then merged, expanded; auto: what data/trained/training.json says, else stored."""
    double_quant: bool = True
    """Where `trained_on` names nf4 or fp4: whether their scales were quantised too."""
    base_names: tuple[str, ...] = ()
    """Other names of the base, as adapter_config.json of an adapter has them that temper did not train, such as a name
    on the hub where the base is a folder; unnamed: for one that names no base. You say that it is the same model."""
    combine: Combine | None = None
    """Other adapters or models of the same base, in data/adapters, that are added to the trained one; null: none."""
