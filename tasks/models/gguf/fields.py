"""config.json as llama.cpp's converter reads it: transformers 5 calls some fields otherwise, or leaves them out."""

from pathlib import Path
from typing import Any

FEED_FORWARD = ("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim")
"""Names of the width of a feed-forward network."""

LAYERS = {"linear_attention": "mamba", "full_attention": "attention"}
"""Kinds of layers of models with Mamba, and what they were called before."""


def older(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` with those that configurations had when the converter was written."""
    if text := fields.get("text_config"):
        return {**fields, "text_config": older(text)}
    rope = fields.get("rope_parameters") or {}
    absent: dict[str, Any] = {}
    if "n_positions" in fields:
        absent["n_ctx"] = fields["n_positions"]
    if "rope_theta" in rope:
        absent["rotary_pct"] = rope.get("partial_rotary_factor", 1.0)
    if fields.get("model_type") == "deepseek_v3":
        absent["scoring_func"] = "sigmoid"
    if fields.get("model_type") == "falcon_h1":
        absent["head_dim"] = fields["hidden_size"] // fields["num_attention_heads"]
    changed: dict[str, Any] = {}
    if fields.get("multi_query") and not fields.get("new_decoder_architecture"):
        changed["num_kv_heads"] = 1
    if "mamba_n_heads" in fields or "mamba_num_heads" in fields:
        for name in ("layer_types", "layers_block_type"):
            if kinds := fields.get(name):
                changed[name] = [LAYERS.get(kind, kind) for kind in kinds]
    present = {name: value for name, value in fields.items() if value is not None or name not in absent}
    return {**absent, **present, **changed}


def complete(writer: Any, architecture: str, fields: dict[str, Any], context: int | None) -> None:
    """Set what the converter takes for granted, in a `writer` that has its metadata.

    `context`: tokens beyond which llama.cpp would compute something else; None where it never does.
    """
    written = writer.kv_data[0]
    width = next((fields[name] for name in FEED_FORWARD if isinstance(fields.get(name), int)), None)
    stored, embedding = (written.get(f"{architecture}.{name}") for name in ("feed_forward_length", "embedding_length"))
    if width and stored and embedding and stored.value == 4 * embedding.value != width:
        writer.add_feed_forward_length(width)
    kinds = fields.get("layer_types") or []
    if "sliding_attention" in kinds and f"{architecture}.attention.sliding_window_pattern" not in written:
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in kinds])
    if fields.get("n_group") and f"{architecture}.expert_group_count" not in written:
        writer.add_expert_group_count(fields["n_group"])
        writer.add_expert_group_used_count(fields["topk_group"])
    if context:
        writer.add_context_length(context)


def has_drafts(folder: Path) -> bool:
    """Whether the model stores layers that predict several tokens (multi-token prediction)."""
    from tasks.models.shards import stored_tensors

    return any("mtp." in name or "nextn" in name for name in stored_tensors(folder))
