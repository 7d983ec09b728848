"""Checks by transformers, peft and bitsandbytes alone, in a process that has seen nothing of what a stage computed.

Shapes: `T` tokens of a row, `V` vocabulary. Each function takes the project's places and returns what it measured.
"""

import csv
import json
from math import prod
from pathlib import Path
from typing import Any

from tasks.core.paths import Paths

EMBEDDINGS = ("embed", "wte", "wpe", "lm_head")
SCALES = (".absmax", "quant_map", "quant_state", ".SCB", "weight_format")
"""Parts of names: what bitsandbytes leaves whole on purpose, and what it stores beside low bits."""

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Keys of a configuration with the number of experts."""

IGNORED = -100
"""The label of a token that is not trained."""


def _rows(file: Path) -> list[dict[str, list[int]]]:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
        rows: list[dict[str, list[int]]] = stream.read_all().select(["input_ids", "labels"]).to_pylist()
        return rows


def _tensors(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor that lies in `folder`."""
    from safetensors import safe_open

    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                part = opened.get_slice(name)
                tensors[name] = (part.get_dtype(), tuple(part.get_shape()))
    return tensors


def _plain(folder: Path) -> Any:
    import torch

    return _class(folder).from_pretrained(folder, dtype=torch.float32).eval()


def _class(folder: Path) -> Any:
    """The class that config.json names."""
    import transformers

    return getattr(transformers, json.loads((folder / "config.json").read_text())["architectures"][0])


def _live(paths: Paths) -> Any:
    """What was trained, as peft loads it on the base as it was handed in."""
    if not (paths.trained / "adapter_config.json").is_file():
        return _plain(paths.trained)
    from peft import PeftModel
    from transformers import AutoTokenizer

    model, rows = _plain(paths.root / "model"), len(AutoTokenizer.from_pretrained(paths.tokenizer))
    if rows > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)
    return PeftModel.from_pretrained(model, paths.trained).eval()


def _logits(model: Any, ids: list[int]) -> Any:
    """Logits (T, V) of a row."""
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()


def loss(paths: Paths) -> dict[str, Any]:
    """The first loss of the curve beside the base's own mean cross entropy over all trained tokens.

    trl adds a mixture's balance loss, weighed by `router_aux_loss_coef`; it is at most the number of experts (Switch
    Transformers, arXiv:2101.03961, equation 4).
    """
    import torch

    total, tokens, model = 0.0, 0, _plain(paths.root / "model")
    for row in _rows(paths.tokens("train")):
        wanted = torch.tensor(row["labels"][1:])
        trained = wanted != IGNORED
        logits = _logits(model, row["input_ids"])[:-1]
        total += torch.nn.functional.cross_entropy(logits[trained], wanted[trained], reduction="sum").item()
        tokens += int(trained.sum())
    with (paths.trained / "loss.csv").open() as file:
        curve = [float(point["loss"]) for point in csv.DictReader(file) if point["loss"]]
    expected = total / tokens
    near = 2e-3 * max(1.0, expected)
    return {"expected": expected, "first": curve[0], "last": curve[-1],
            "right": -near <= curve[0] - expected <= near + _balance(model)}  # fmt: skip


def _balance(model: Any) -> float:
    """The most that the balance loss of a mixture can add; 0 for other models."""
    config = model.config.get_text_config()
    experts = next((getattr(config, name) for name in EXPERTS if getattr(config, name, None)), 0)
    return float(getattr(config, "router_aux_loss_coef", 0.0) * experts)


def merged(paths: Paths) -> dict[str, Any]:
    """`data/merged`, as transformers loads it, against base and live adapter as peft loads them; and its tensors."""
    import torch

    model, info = _class(paths.merged).from_pretrained(paths.merged, dtype=torch.float32, output_loading_info=True)
    model.eval()
    trained, largest = _live(paths), 0.0
    for row in _rows(paths.tokens("train"))[:6]:
        one, other = _logits(trained, row["input_ids"]), _logits(model, row["input_ids"])
        known = min(one.shape[-1], other.shape[-1])
        largest = max(largest, (one[:, :known] - other[:, :known]).abs().max().item())
    before, after = set(_tensors(paths.root / "model")), set(_tensors(paths.merged))
    keys = {name: sorted(map(str, info[name]))[:4] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    gate = json.loads((paths.merged / "merge.json").read_text())
    return {"largest": largest, "gate": gate["max_logit_difference"], "by": gate["by"],
            "lost": sorted(before - after), "new": sorted(after - before),
            "keys": {name: value for name, value in keys.items() if value},
            "right": largest <= 1e-3 and not any(keys.values()) and before <= after}  # fmt: skip


def answers(paths: Paths) -> dict[str, Any]:
    """Answers of `data/merged` in the evaluation against greedy decoding of one row at a time without a cache."""
    import pyarrow.parquet as pq
    from transformers import AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(paths.tokenizer), _plain(paths.merged)
    rows = pq.read_table(paths.evaluation("merged") / "predictions.parquet").to_pylist()
    same = 0
    for row in rows:
        ids = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
        known = list(ids)
        for _ in range(12):
            following = int(_logits(model, known)[-1].argmax())
            if following == tokenizer.eos_token_id:
                break
            known.append(following)
        same += tokenizer.decode(known[len(ids) :], skip_special_tokens=True) == row["output"]
    return {"same": same, "rows": len(rows), "right": same == len(rows)}


def low_bits(paths: Paths, scheme: str) -> dict[str, Any]:
    """The share of numbers outside of the embeddings that `data/quantized/<scheme>` holds in 4 or 8 bits."""
    low = full = 0
    for name, (kind, shape) in _tensors(paths.quantized(scheme)).items():
        if any(part in name for part in EMBEDDINGS) or any(part in name for part in SCALES):
            continue
        if kind in ("U8", "I8"):
            low += prod(shape) * (2 if scheme == "nf4" else 1)
        elif len(shape) >= 2:
            full += prod(shape)
    return {"share": low / (low + full) if low + full else 0.0}
