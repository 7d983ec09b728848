"""What a run will take, from its settings and the headers of files alone: steps, disk, and memory at least.

No library of models is loaded. What a forward pass keeps is measured before the first step, by
`tasks.training.memory_estimate`.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tasks.training.methods import METHODS
from tasks.training.optimizers import UNSAVED, state_bytes
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning

KEPT = 3
"""Checkpoints on disk at once: two that are kept, and the one being written."""

BYTES = {"F64": 8.0, "F32": 4.0, "F16": 2.0, "BF16": 2.0, "F8_E4M3": 1.0, "F8_E5M2": 1.0, "I8": 1.0, "U8": 1.0}
"""Bytes of a number by the name that safetensors has for its type."""

STORED = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}

QUANTIZED_BITS = {"nf4": 4.13, "fp4": 4.13, "int8": 8.0}
"""Bits of a weight that bitsandbytes holds, scales included, by scheme."""


@dataclass(frozen=True)
class Shape:
    """A tensor of the base."""

    sizes: tuple[int, ...]
    kind: str
    """Name of its type in safetensors."""

    @property
    def count(self) -> int:
        """Numbers in it."""
        return prod(self.sizes)


Base = dict[str, Shape]
"""Tensors by name."""


def read_shapes(folder: Path) -> Base:
    """The tensors in the safetensors files of `folder`; only their headers are read."""
    from safetensors import safe_open

    base = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "np") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                part = tensors.get_slice(name)
                base[name] = Shape(tuple(part.get_shape()), part.get_dtype())
    return base


def layers(base: Base) -> Base:
    """Its linear layers but the head: what adapters go on, and what is quantised."""
    return {
        name: shape
        for name, shape in base.items()
        if len(shape.sizes) == 2 and name.endswith(".weight") and "embed" not in name and "lm_head" not in name
    }


def trained_weights(base: Base, tuning: Tuning) -> int:
    """Weights that `tuning` trains; for adapters other than LoRA as many as LoRA of rank `lora.r` would, at most."""
    weights = sum(shape.count for shape in base.values())
    if METHODS[tuning.method].kind is None:
        return weights  # for freeze the most that it can be
    wanted = tuning.lora.target_modules
    chosen = [
        shape
        for name, shape in layers(base).items()
        if isinstance(wanted, str) or any(name.removesuffix(".weight").endswith(part) for part in wanted)
    ]
    return min(weights, sum(tuning.lora.r * sum(shape.sizes) for shape in chosen))


def checkpoints_kept(settings: Optimization) -> int:
    """Checkpoints on disk at once, at most; none where the first would come after the last step."""
    if settings.optimizer in UNSAVED:
        return 0
    every = settings.checkpoint_steps
    if getattr(settings, "patience", None):
        every = settings.eval_steps  # type: ignore[attr-defined]
    if settings.steps is None:
        return KEPT  # epochs, of rows that are not counted yet
    return 0 if every > settings.steps else min(KEPT, -(-settings.steps // every))


def training(base: Base, tuning: Tuning, settings: Optimization) -> tuple[int, int]:
    """Bytes of disk while it is trained (checkpoints) and after (the result)."""
    weights = trained_weights(base, tuning)
    return round(checkpoints_kept(settings) * (4 + state_bytes(settings.optimizer)) * weights), 4 * weights


def memory(base: Base, tuning: Tuning, settings: Optimization) -> int:
    """Bytes of weights, gradients and optimiser states: without what a forward pass keeps, and without the program."""
    tuned, packed = trained_weights(base, tuning), layers(base) if tuning.quantized else {}
    held = sum(shape.count * _held(shape, tuning) for name, shape in base.items() if name not in packed)
    if tuning.quantized:
        held += sum(shape.count for shape in packed.values()) * QUANTIZED_BITS[tuning.quantized] / 8
    adapter = 4 * tuned if METHODS[tuning.method].kind else 0
    return round(held + adapter + (4 + state_bytes(settings.optimizer)) * tuned)


def _held(shape: Shape, tuning: Tuning) -> float:
    """Bytes of a weight while it is trained: of 16 bits where an adapter leaves it as it is stored, else float32."""
    halved = METHODS[tuning.method].kind is not None and shape.kind in ("F16", "BF16")
    return 2.0 if halved else 4.0


def merged(base: Base, dtype: str) -> int:
    """Bytes of the merged model; `dtype` as `merge.dtype`."""
    return round(sum(shape.count * STORED.get(dtype, BYTES.get(shape.kind, 4.0)) for shape in base.values()))


def quantized(base: Base, dtype: str, bits: float, rest: float) -> int:
    """Bytes of the merged model, its matrices in `bits` a weight; embeddings and head in `rest`, or 0: as stored."""
    matrices = layers(base)
    others = {name: shape for name, shape in base.items() if name not in matrices}
    inner = sum(shape.count for shape in matrices.values()) * bits / 8
    if rest:
        return round(inner + sum(shape.count for shape in others.values()) * max(bits, rest) / 8)
    return round(inner + merged(others, dtype))


def rows(audit: Path) -> dict[str, int]:
    """Rows, tokens and supervised tokens of training as data/templated/audit.json counts them; empty without it."""
    try:
        counts = json.loads(audit.read_text())
        return dict(counts["splits"]["train"]["trained"])
    except (OSError, ValueError, KeyError):
        return {}


def items(audit: Path) -> int | None:
    """What a batch of `train` counts: rows, or packs, as data/templated/audit.json has them; None without it."""
    try:
        counts = json.loads(audit.read_text())
        packing = counts.get("packing")
        return int(packing["packs"] if packing else counts["splits"]["train"]["trained"]["rows"])
    except (OSError, ValueError, KeyError, AttributeError):
        return None
