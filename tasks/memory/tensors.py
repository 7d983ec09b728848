"""The tensors of a model as what is divided among cards: how many of which shape, and how many bytes a number takes.

    parts = divide(skeleton_model, {})
    held(parts.everything)            # bytes on one card
    held(parts.everything, 8, rows)   # bytes on the fullest of 8 cards under FSDP2

Shapes: a tensor of the shape (rows, ...) has `width` numbers a row.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

QUANTIZED_ROW = 2
"""Numbers in a row of a matrix as bitsandbytes packs it in 4 bits: (numbers / 2, 1) bytes."""


class Tensor(NamedTuple):
    """A weight of a model."""

    rows: int
    """Size of the first dimension."""
    width: int
    """Numbers in a row."""
    held: float
    """Bytes that a number takes while the model is trained."""
    scales: float
    """Bytes a number beside them that no strategy divides: scales of a quantised matrix are no parameters."""
    trained: bool

    @property
    def numbers(self) -> int:
        """How many there are in it."""
        return self.rows * self.width


Tensors = Counter[Tensor]
"""How many there are of each."""

Division = Callable[[Tensor, int], int]
"""Numbers of a tensor that the fullest of so many cards holds."""


@dataclass(frozen=True)
class Parts:
    """A model's tensors; those outside blocks, head and embedding are in `everything` only."""

    everything: Tensors
    block: Tensors
    """The largest of the blocks that are gathered one after the other."""
    head: Tensors
    """What makes logits; the embedding where both are one tensor."""
    embedding: Tensors
    """Of the input; empty where it is the head."""


def rows(tensor: Tensor, cards: int) -> int:
    """FSDP2 divides the first dimension as `torch.chunk` does: the first cards hold a row more, or the last ones none.

    https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
    """
    return -(-tensor.rows // cards) * tensor.width


def numbers(tensor: Tensor, cards: int) -> int:
    """ZeRO divides the numbers of a tensor, whatever its shape, filled up to a multiple of `cards`.

    Rajbhandari et al. 2020, arXiv:1910.02054, section 5; https://deepspeed.readthedocs.io/en/latest/zero3.html
    """
    return -(-tensor.numbers // cards)


def count(tensors: Tensors, cards: int = 1, division: Division = numbers, *, trained: bool = False) -> int:
    """Numbers that the fullest of `cards` holds; `trained`: of tensors that are trained only."""
    return sum(many * division(tensor, cards) for tensor, many in tensors.items() if tensor.trained or not trained)


def held(tensors: Tensors, cards: int = 1, division: Division = numbers, *, trained: bool = False) -> int:
    """Bytes that the fullest of `cards` holds of them, or of a gradient of each that is trained."""
    size = 0.0
    for tensor, many in tensors.items():
        if tensor.trained or not trained:
            size += many * (division(tensor, cards) * tensor.held + tensor.numbers * tensor.scales)
    return round(size)


def padded(tensors: Tensors, cards: int, division: Division, *, trained: bool = False, most: int = 4) -> int:
    """Bytes of them whole on one card, with what fills them up to a multiple of `cards`; `trained`: of those that are.

    `most`: bytes of a number at most, as where they are gathered in the type that is computed in.
    """
    size = 0.0
    for tensor, many in tensors.items():
        if tensor.trained or not trained:
            size += many * division(tensor, cards) * cards * min(tensor.held, most)
    return round(size)


def divide(model: Any, quantized: Mapping[int, float]) -> Parts:
    """The tensors of a transformers `model`, with an adapter or without; `quantized`: bits by the id of a weight."""
    blocks = [Counter(_tensors(block, quantized).values()) for block in blocks_of(model)]
    block = max(blocks, key=held, default=Counter[Tensor]())
    head = _tensors(_asked(model, "get_output_embeddings"), quantized)
    embedding = _tensors(_asked(model, "get_input_embeddings"), quantized)
    return Parts(
        everything=Counter(_tensors(model, quantized).values()),
        block=block,
        head=Counter(head.values()),
        embedding=Counter(tensor for key, tensor in embedding.items() if key not in head),
    )


def blocks_of(model: Any) -> list[Any]:
    """The layers that FSDP and transformers' own placing keep in one piece, outermost only."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    blocks: list[Any] = []
    inside: set[int] = set()
    for module in model.modules():
        if type(module).__name__ in names and id(module) not in inside:
            blocks.append(module)
            inside.update(map(id, module.modules()))
    return blocks


def _asked(model: Any, name: str) -> Any:
    return getattr(model, name)() if hasattr(model, name) else None


def _tensors(module: Any, quantized: Mapping[int, float]) -> dict[int, Tensor]:
    """By the id of the weight, so that one which occurs twice counts once."""
    return {} if module is None else {id(weight): _tensor(weight, quantized) for weight in module.parameters()}


def _tensor(weight: Any, quantized: Mapping[int, float]) -> Tensor:
    count = weight.numel()
    if bits := quantized.get(id(weight)):
        whole = int(bits)
        return Tensor(count // QUANTIZED_ROW, QUANTIZED_ROW, whole / 8, (bits - whole) / 8, False)
    first = weight.shape[0] if weight.dim() else 1
    return Tensor(first, count // max(first, 1), float(weight.element_size()), 0.0, weight.requires_grad)
