"""A small copy of a model: its own class and configuration with fewer and narrower layers, and random weights.

Whatever depends on the kind of a model and not on its size can be tried on it in a second. Widths that are fractions of
each other stay so, each kind of layer is there at least once, and what is no size stays as it is.
"""

import copy
from collections.abc import Iterable
from typing import Any

from tasks.models.classes import auto_class

HEADS, LAYERS, WIDTHS = (
    ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "depth"),
    ("hidden_size", "n_embd", "d_model"),
)
"""What configurations call the same thing."""

KEPT_HEADS, KEPT_LAYERS, NARROW, VOCABULARY, EXPERTS = 4, 8, 128, 512, 4
"""Heads of attention, most layers, the inner width of a feed-forward layer, rows of embeddings, experts."""

FREE = ("intermediate", "ffn_", "n_inner", "d_ff", "shared_expert")
"""Parts of the names of widths that no other one depends on."""

PERIODS = ("period", "interval", "offset", "pattern", "every", "freq", "step")
"""Parts of the names of numbers after how many layers a kind of layer comes again."""


STATES = ("A_log", "dt_bias", "D")
"""Parameters of state-space layers that stay as the model's own code starts them, lest the state explodes."""

MOST = 200_000_000
"""Numbers that a small copy may have: where one has more, its configuration is one that nothing here makes small."""


def miniature(config: Any, **options: str) -> Any:
    """A model of the class that a model with `config` has, in float32 on the CPU; None where none can be made so small.

    `config` stays as it is. `options` as transformers has them, such as attn_implementation.
    """
    import torch

    state = torch.random.get_rng_state()
    try:
        return next((model for whole in (True, False) if (model := _built(config, whole, options)) is not None), None)
    finally:
        torch.random.set_rng_state(state)


def _built(config: Any, whole: bool, options: dict[str, str]) -> Any:
    import torch

    try:
        torch.manual_seed(0)
        small = small_configuration(config, whole)
        with torch.device("meta"):
            size = sum(weight.numel() for weight in auto_class(small).from_config(small).parameters())
        if size > MOST:
            return None
        model = auto_class(small).from_config(small, dtype=torch.float32, trust_remote_code=False, **options).eval()
        _randomise(model)
        with torch.no_grad():
            logits = model(input_ids=torch.arange(8, 16)[None], use_cache=False).logits
    except Exception:  # whatever its class says of such sizes, it says nothing of the base's own
        return None
    return model if torch.isfinite(logits).all() else None


def _randomise(model: Any) -> None:
    """Have what flows through matrices stay of unit size (LeCun 1998, "Efficient BackProp"), so that all of it counts:
    what transformers starts with is so small that attention hardly changes a logit.
    """
    import torch

    embeddings = {id(layer.weight) for layer in model.modules() if isinstance(layer, torch.nn.Embedding)}
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and name.rpartition(".")[2] not in STATES:
            fan = max(min(weight.shape[-2:]) if weight.ndim == 3 else weight.shape[-1], 4)
            torch.nn.init.normal_(weight, std=0.25 if id(weight) in embeddings else fan**-0.5)


def small_configuration(config: Any, whole: bool = True) -> Any:
    """`config` with small sizes, of the same class; `whole`: narrower in what stands beside the text model too."""
    values = copy.deepcopy(config.to_dict())
    values.pop("quantization_config", None)
    text = config.get_text_config()
    if text is config:
        _shrink_text(values)
    else:
        _shrink_parts(values, text.to_dict(), whole)
    return type(config).from_dict(values)


def _shrink_parts(values: dict[str, Any], text: dict[str, Any], whole: bool) -> None:
    """Shrink what lies below a configuration of several parts; unless `whole`, other parts than text keep widths."""
    width, vocabulary = _first(text, WIDTHS), text.get("vocab_size")
    small = copy.deepcopy(text)
    _shrink_text(small)
    parts = [(name, part) for name, part in values.items() if isinstance(part, dict) and "model_type" in part]
    for name, part in parts:
        if part.get("model_type") == text.get("model_type") and part.get("vocab_size") == vocabulary:
            values[name] = copy.deepcopy(small)
            continue
        if any(isinstance(inner, dict) and "model_type" in inner for inner in part.values()):
            _shrink_parts(part, text, whole)
        elif whole:
            _shrink_text(part)
        else:
            _keep_layers(part, 1)
            part |= {key: _at_most(value, NARROW) for key, value in part.items() if "intermediate" in key}
        for key, value in part.items():
            if key in ("out_hidden_size", "projection_dim", "text_hidden_size", "output_dim") and value == width:
                part[key] = _first(small, WIDTHS)
    for key, value in values.items():
        if value == vocabulary and key == "vocab_size":
            values[key] = small["vocab_size"]
        if key in WIDTHS and value == width:
            values[key] = _first(small, WIDTHS)
    _renumber_tokens(values)


def _shrink_text(values: dict[str, Any]) -> None:
    width, heads = _first(values, WIDTHS), _first(values, HEADS)
    _keep_layers(values, _layers(values))
    kept = min(heads, KEPT_HEADS) if isinstance(heads, int) and heads else 0
    share = (kept, heads) if kept else (1, max((width or 64) // 64, 1))
    for key, value in list(values.items()):
        if (most := _most(key)) is not None:
            values[key] = _at_most(value, most)
        elif not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            continue
        elif key in ("n_group", "topk_group") or key.endswith("n_groups"):
            values[key] = 1
        elif key in HEADS and kept:
            values[key] = kept
        elif "heads" in key or "kv_heads" in key:
            values[key] = max(value * share[0] // share[1], 1)
        elif width and _is_width(key) and (value >= width // 2 or "ssm" in key) and (value * share[0]) % share[1] == 0:
            values[key] = value * share[0] // share[1]
    _renumber_tokens(values)


def _most(key: str) -> int | None:
    """The largest number that the configuration of a small model has for `key`; None where others decide over it."""
    if "vocab_size" in key:
        return VOCABULARY
    if any(part in key for part in FREE):
        return NARROW
    if "experts_per" in key or key in ("moe_k", "moe_topk", "top_k_experts", "num_selected_experts"):
        return 2
    counted = "expert" in key and ("num" in key or key.startswith("n_")) and "shared" not in key
    return EXPERTS if counted else None


def _at_most(value: Any, most: int) -> Any:
    if isinstance(value, list):
        return [_at_most(item, most) for item in value]
    return min(value, most) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_width(key: str) -> bool:
    sizes = ("size", "dim", "embd", "width", "inner", "d_model", "d_ssm", "rnn")
    return any(part in key for part in sizes) and not any(part in key for part in ("head", "window", "chunk", "block"))


def _layers(values: dict[str, Any]) -> int:
    """How many of the first layers have every kind of layer among them; at least two, where there are two."""
    count = _first(values, LAYERS)
    lists = [value for value in values.values() if isinstance(value, list) and len(value) == count]
    if not isinstance(count, int):
        return 2
    needed = 2
    for kinds in lists:
        known = list(map(str, kinds))
        needed = max(needed, *(known.index(kind) + 1 for kind in set(known)))
    for key, value in values.items():
        if any(part in key for part in PERIODS) and isinstance(value, int) and 1 < value <= KEPT_LAYERS:
            needed = max(needed, value + 1)
    return min(needed, KEPT_LAYERS, count)


def _keep_layers(values: dict[str, Any], layers: int) -> None:
    """Leave the first `layers` layers of a part, and what is listed for them."""
    count = _first(values, LAYERS)
    if not isinstance(count, int):
        return
    layers = min(layers, count)
    for key, value in values.items():
        if key in LAYERS:
            values[key] = layers
        elif isinstance(value, list) and len(value) == count:
            values[key] = value[:layers]
        elif isinstance(value, dict) and value and all(str(name).isdigit() for name in value):
            values[key] = {name: item for name, item in value.items() if int(name) < layers}
        elif isinstance(value, int) and key in ("first_k_dense_replace", "max_window_layers"):
            values[key] = min(value, layers // 2)
        elif key == "num_kv_shared_layers":
            values[key] = 0


def _renumber_tokens(values: dict[str, Any]) -> None:
    """Give tokens that the configuration names, such as that of an image, numbers below `VOCABULARY`."""
    following = iter(range(3, VOCABULARY))
    fixed = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    for key, value in values.items():
        if key in fixed:
            values[key] = None if value is None else fixed[key]
        elif key.endswith(("_token_id", "_token_index", "_token")) and isinstance(value, int):
            values[key] = next(following)


def _first(values: dict[str, Any], names: Iterable[str]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)
