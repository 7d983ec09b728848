"""Scaled rotary positions in a GGUF file, which transformers 5.23 leaves out when it reads one."""

from pathlib import Path
from typing import Any

import gguf

FREQUENCIES = "rope_freqs.weight"
"""By how much each frequency is slowed down, as Llama 3.1 does it: (head / 2)."""


def add_scaling(writer: Any, rope: dict[str, Any]) -> None:
    """Write what config.json says in `rope_parameters`; Llama 3.1's way goes into a tensor, see `FREQUENCIES`."""
    kind = rope.get("rope_type")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))


def unsupported(rope: dict[str, Any]) -> str | None:
    """What of `rope_parameters` a GGUF file here cannot say; None where it says all."""
    kind = rope.get("rope_type", "default")
    if kind not in ("default", "linear", "llama3", "yarn"):
        return f"the rope scaling '{kind}' is not supported, only default, linear, llama3 and yarn are"
    own = ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")
    if kind == "yarn" and (unusual := [name for name in own if rope.get(name) is not None]):
        return f"{unusual[0]} of the rope scaling 'yarn' is not supported"
    if kind == "yarn" and not rope.get("original_max_position_embeddings"):
        return "the rope scaling 'yarn' without original_max_position_embeddings is not supported"
    return None


def configuration(file: Path) -> Any:
    """The configuration that transformers reads from `file`, with the scaling that it leaves out."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
    reader = gguf.GGUFReader(file)
    architecture = reader.fields["general.architecture"].contents()
    values = {
        name: field.contents()
        for name in ("type", "factor", "original_context_length")
        if (field := reader.fields.get(f"{architecture}.rope.scaling.{name}"))
    }
    if values.get("type") in ("linear", "yarn") and isinstance(getattr(config, "rope_parameters", None), dict):
        scaling = {**config.rope_parameters, "rope_type": values["type"], "factor": values["factor"]}
        if values["type"] == "yarn":
            scaling["original_max_position_embeddings"] = values["original_context_length"]
        config.rope_parameters = scaling
    return config


def slow_down(model: Any, file: Path) -> None:
    """Divide the frequencies of `model`, read from `file`, by what `FREQUENCIES` says there, if it does."""
    import torch

    factors = next((tensor.data for tensor in gguf.GGUFReader(file).tensors if tensor.name == FREQUENCIES), None)
    if factors is None:
        return
    by = torch.tensor(factors.reshape(-1).copy())
    for module in model.modules():
        for name in ("inv_freq", "original_inv_freq"):
            if (frequencies := getattr(module, name, None)) is not None:
                frequencies.div_(by.to(frequencies.device))
