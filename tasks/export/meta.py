"""A Llama as Meta publishes it: consolidated.00.pth and params.json, which torchtune and litgpt read as well.

Meta rotates neighbouring numbers of a head, transformers halves of it, so queries and keys are reordered.
"""

import json
from pathlib import Path
from typing import Any

import torch

from tasks.contract.errors import ModelError
from tasks.contract.files import write_json
from tasks.contract.paths import Paths
from tasks.export import Settings
from tasks.merge.shards import stored

NAMES = {
    "model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output",
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
    "model.layers": "layers",
}  # fmt: skip
"""transformers' names, and Meta's."""


def write_meta(settings: Settings, paths: Paths, out: Path) -> dict[str, Any]:
    """Write both files; return the number of tensors, all read back and compared."""
    config = json.loads((paths.merged / "config.json").read_text())
    if (config.get("architectures") or [""])[0] != "LlamaForCausalLM" or config.get("attention_bias"):
        raise ModelError("export meta: only a Llama without biases has this form; take meta out of export.formats.")
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    if config["head_dim"] * heads != config["hidden_size"]:
        raise ModelError("export meta: heads that are not hidden_size / heads wide cannot be said; take meta out.")
    tensors = {}
    for name, place in stored(paths.merged).items():
        value = place.read()
        if "q_proj" in name or "k_proj" in name:
            value = interleaved(value, heads if "q_proj" in name else keys)
        tensors[renamed(name)] = value
    if "output.weight" not in tensors:  # Meta's form has no tied weights
        tensors["output.weight"] = tensors["tok_embeddings.weight"].clone()
    torch.save(tensors, out / "consolidated.00.pth")
    again = torch.load(out / "consolidated.00.pth", weights_only=True)
    if any(not torch.equal(again[name], value) for name, value in tensors.items()):
        raise ModelError("export meta: the file does not hold what was written; the disk may be broken.")
    rope = config.get("rope_parameters") or {}
    write_json(
        out / "params.json",
        {
            "dim": config["hidden_size"], "n_layers": config["num_hidden_layers"], "n_heads": heads,
            "n_kv_heads": keys, "vocab_size": config["vocab_size"], "norm_eps": config["rms_norm_eps"],
            "rope_theta": rope.get("rope_theta", 10000.0), "use_scaled_rope": rope.get("rope_type") == "llama3",
            "hidden_dim": config["intermediate_size"],
        },
    )  # fmt: skip
    return {"tensors": len(tensors)}


def renamed(name: str) -> str:
    """Meta's name of a tensor of transformers."""
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def interleaved(value: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (heads x 2 halves x numbers) as (heads x numbers x 2)."""
    rows, columns = value.shape
    return value.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()
