"""The part of a model's config.json that describes its language model: all of it, or what lies below `text_config`.

Configurations of models that see and hear keep the vocabulary and the context one level down, as
`PreTrainedConfig.get_text_config` finds them; read at the top they seem to be missing, and nothing was checked.
"""

from pathlib import Path
from typing import Any

PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder", "generator")
"""What that part is called; by one of them it can lie below another one."""


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """`config` with what its language model says of itself over what it says of the whole.

    text_part({"eos_token_id": 1, "text_config": {"vocab_size": 8}})["vocab_size"]  # 8
    """
    for name in PARTS:
        if isinstance(part := config.get(name), dict):
            return {**config, **text_part(part)}
    return config


def stored_quantization(config: dict[str, Any]) -> dict[str, Any] | None:
    """How the weights are stored quantised, by what a config.json says of the model or its language model; else None.

    stored_quantization({"text_config": {"quantization_config": {"quant_method": "awq"}}})  # {"quant_method": "awq"}
    """
    return config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")


def text_value(folder: Path, config: dict[str, Any], name: str) -> Any:
    """`name` of the language model in `folder`, whose config.json holds `config`.

    Where a part has its own configuration and leaves out what its class knows, that is what transformers takes.
    """
    part = text_part(config)
    if name in part or part is config:
        return part.get(name)
    from transformers import AutoConfig

    try:
        return getattr(AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config(), name, None)
    except Exception:  # of a kind that transformers does not know, or one that it refuses: who loads it says so
        return None
