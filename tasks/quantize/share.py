"""How much of a model a scheme really made smaller: what it leaves whole is told, and beyond a limit refused.

Libraries quantise the layers that they know. Experts that share one three-dimensional parameter, or a subclass of a
linear layer, stay as they were without a word, so that a "4-bit" model may have nine tenths of its weights in 16 bits.
"""

from math import prod
from pathlib import Path

from tasks.models.loading import gguf_file
from tasks.models.shards import stored_tensors

WHOLE = ("F32", "F16", "BF16")
"""Types of GGUF that are no quantisation."""


def low_bits_share(merged: Path, quantized: Path, vocabulary: int) -> float:
    """The share of weights in matrices, but for those of the embeddings and the head, that take fewer bits than before.

    `vocabulary`: rows of the embeddings, by which they are known.
    """
    if file := gguf_file(quantized):
        return _of_gguf(file, vocabulary)
    before, after = stored_tensors(merged), stored_tensors(quantized)
    matrices = {
        name: tensor for name, tensor in before.items() if len(tensor.shape) > 1 and tensor.shape[0] != vocabulary
    }
    whole = sum(
        prod(tensor.shape)
        for name, tensor in matrices.items()
        if name in after and after[name].shape == tensor.shape and after[name].dtype.itemsize >= tensor.dtype.itemsize
    )
    total = sum(prod(tensor.shape) for tensor in matrices.values())
    return 1 - whole / total if total else 1.0


def _of_gguf(file: Path, vocabulary: int) -> float:
    from gguf import GGUFReader

    matrices = [
        tensor for tensor in GGUFReader(file).tensors if len(tensor.shape) > 1 and tensor.shape[-1] != vocabulary
    ]
    total = sum(int(tensor.n_elements) for tensor in matrices)
    whole = sum(int(tensor.n_elements) for tensor in matrices if tensor.tensor_type.name in WHOLE)
    return 1 - whole / total if total else 1.0
