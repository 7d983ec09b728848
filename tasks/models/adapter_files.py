"""What lies beside an adapter's weights: its configuration by peft, and the record of the training that made it.

Both may come from elsewhere. What decides how much is built, and what is searched for, is checked before peft sees it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.bounds.patterns import check_names
from tasks.core.errors import InputError, ModelError
from tasks.core.json_files import read_as

CONFIG, TRAINING = "adapter_config.json", "training.json"

Rank = Annotated[int, Field(ge=1, le=2**20, strict=True)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Truth = Annotated[bool, Field(strict=True)]
Names = list[str] | str | None
"""Names of modules, or a pattern that they match whole."""


class AdapterConfig(BaseModel):
    """adapter_config.json: keys that peft has for many methods, in its form; others are peft's to check."""

    model_config = ConfigDict(extra="allow")

    peft_type: Annotated[str, Field(min_length=1)]
    base_model_name_or_path: str | None = None
    revision: str | None = None
    r: Annotated[int, Field(ge=0, le=2**20, strict=True)] | None = None
    """0: the size of a block says it, as in OFT."""
    lora_alpha: Finite | None = None
    lora_dropout: Annotated[float, Field(ge=0, le=1)] | None = None
    target_modules: Names = None
    exclude_modules: Names = None
    modules_to_save: list[str] | None = None
    rank_pattern: dict[str, Rank] | None = None
    alpha_pattern: dict[str, Finite] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: Names = None
    target_parameters: list[str] | None = None
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    layer_replication: list[tuple[int, int]] | None = None
    init_lora_weights: bool | str | None = None
    bias: Literal["none", "all", "lora_only"] | str | None = None
    use_dora: Truth | None = None
    use_rslora: Truth | None = None
    lora_bias: Truth | None = None
    fan_in_fan_out: Truth | None = None
    inference_mode: Truth | None = None


class Quantized(BaseModel):
    """How the base was held while the adapter was trained."""

    scheme: Literal["nf4", "fp4", "int8"]
    double_quant: Truth = True


class TrainingRecord(BaseModel):
    """training.json, as far as later stages go by it."""

    model_config = ConfigDict(extra="allow")

    base: str | None = None
    """Hash of the base that was trained on."""
    quantization: Quantized | None = None
    classes: list[str] | None = None
    """Of a classifier, in the order of its head."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Of a classifier with any number of classes a row: the probability from which one applies."""
    embedder: dict[str, Any] | None = None
    """Of an embedding model, how its tokens become a vector."""


def adapter_config(folder: Path) -> dict[str, Any]:
    """adapter_config.json in `folder`, as it stands there.

    Raises `InputError` where there is none, `ModelError` where it is not one that peft could have written.
    """
    try:
        config = read_as(AdapterConfig, folder / CONFIG, ModelError, "restore the file")
    except FileNotFoundError:
        raise InputError(f"{folder}: there is no {CONFIG}; name the folder of an adapter that peft saved.") from None
    fields = config.model_dump(exclude_unset=True)
    try:
        check_names(fields)
    except ValueError as error:
        raise ModelError(f"{folder / CONFIG}: {error}; restore the file.") from None
    return fields


def training_record(folder: Path) -> TrainingRecord:
    """training.json in `folder`; an empty one where there is none. Raises `ModelError` where it is no such record."""
    try:
        return read_as(TrainingRecord, folder / TRAINING, ModelError, "restore it, or train again")
    except FileNotFoundError:
        return TrainingRecord()


def check_ranks(folder: Path, config: dict[str, Any], largest: int) -> None:
    """Raise `ModelError` where a rank is above `largest`, the size of the largest side of a tensor of the adapter.

    peft builds the adapter as its configuration says before it compares that with the tensors.
    """
    ranks = {
        "r": config.get("r"),
        **{f"rank_pattern.{key}": rank for key, rank in (config.get("rank_pattern") or {}).items()},
    }
    for key, rank in ranks.items():
        if rank is not None and rank > largest:
            raise ModelError(
                f"{folder / CONFIG}: {key} = {rank}, but no dimension of the adapter's tensors is above {largest}; "
                "restore the files of the adapter."
            )
