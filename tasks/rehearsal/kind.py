"""Whether a base is a model of the kind that is tuned here: one that continues a text, token by token."""

import inspect
import json
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.models.classes import auto_class
from tasks.models.text_config import stored_quantization

ADVICE = "choose a causal language model for the section base"


def known_configuration(folder: Path, location: str, *, headless: bool = False) -> Any:
    """The configuration in `folder`; `location` is what the user calls the base.

    Raises `ModelError` where transformers does not know such a model, or it is none that continues a text, which is
    not asked of one whose head is left out (`headless`).
    """
    from transformers import AutoConfig

    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        kind = values.get("model_type")
        own = "it needs its own code (auto_map), which temper never runs" if values.get("auto_map") else ""
        reason = own or f"transformers cannot read its config.json ({' '.join(str(error).split())[:200]})"
        raise ModelError(f"{location}: a model of the type {kind!r}: {reason}; {ADVICE}.") from None
    _check_stored_type(values, location)
    if not headless:
        _check_architecture(config, values, location)
    return config


def check_forward(skeleton: Any, location: str) -> None:
    """Raise `ModelError` where the model `skeleton` wants more than token ids, such as a picture with each text."""
    parameters = inspect.signature(skeleton.forward).parameters.values()
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [
        one.name
        for one in parameters
        if one.default is inspect.Parameter.empty and one.kind not in variadic and one.name != "input_ids"
    ]
    if needed:
        raise ModelError(
            f"{location}: a {type(skeleton).__name__} computes nothing without {needed[0]}, but rows here are text "
            f"only; {ADVICE}."
        )
    if skeleton.get_input_embeddings() is None or skeleton.get_output_embeddings() is None:
        raise ModelError(
            f"{location}: a {type(skeleton).__name__} does not expose its embeddings or its head, so its text model "
            f"cannot be tuned; {ADVICE}."
        )


def _check_architecture(config: Any, values: dict[str, Any], location: str) -> None:
    import transformers
    from transformers.models.auto import modeling_auto

    mappings = (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )
    name = next(iter(values.get("architectures") or []), type(config).__name__.removesuffix("Config"))
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{location}: {name} is an encoder-decoder, not a causal language model; {ADVICE}.")
    if not any(config.model_type in mapping for mapping in mappings):
        raise ModelError(f"{location}: {name} is not among transformers' causal language models; {ADVICE}.")
    classes = {one for mapping in mappings for entry in mapping.values() for one in _names(entry)}
    if values.get("architectures") and hasattr(transformers, name) and name not in classes:
        raise ModelError(
            f"{location}: its config.json says {name}, which is not a causal language model: its head, if it has one, "
            f"does not predict the next token; {ADVICE}."
        )
    if getattr(config, "is_decoder", True) is False and _reads_both_ways(config):
        raise ModelError(f"{location}: {name} reads a text in both directions (is_decoder: false); {ADVICE}.")


def _reads_both_ways(config: Any) -> bool:
    """Whether models of this type are encoders unless their configuration says otherwise."""
    import transformers

    mapping = transformers.models.auto.modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return config.model_type in mapping and auto_class(config) is transformers.AutoModelForCausalLM


def _check_stored_type(values: dict[str, Any], location: str) -> None:
    """Raise `ModelError` for weights that are stored quantised: an adapter cannot be merged into them."""
    if quantization := stored_quantization(values):
        method = quantization.get("quant_method", "an unnamed method")
        raise ModelError(
            f"{location}: its weights are quantised by {method}, so nothing can be merged into them; use the original "
            "model, and for 4-bit training set train.method to qlora."
        )


def _names(entry: str | tuple[str, ...]) -> tuple[str, ...]:
    return entry if isinstance(entry, tuple) else (entry,)
