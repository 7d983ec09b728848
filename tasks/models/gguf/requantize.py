"""A whole GGUF file to a smaller one, one tensor at a time, by the arithmetic of llama.cpp's own quantiser."""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.core.errors import CheckFailed
from tasks.models.gguf import converter
from tasks.models.gguf.importance import Importance, measure
from tasks.models.gguf.library import library
from tasks.models.gguf.mixture import MIXTURES, Shape, types


def requantize(whole: Path, path: Path, kind: str, rows: list[list[int]]) -> None:
    """Write the file `whole` (float32) to `path` as the mixture `kind`; only in a process that ends then.

    Token ids `rows`, if any, say which columns count: see `tasks.models.gguf.importance`.
    """
    importance = measure(whole, rows) if rows else {}
    converter.enter()
    import gguf

    reader = gguf.GGUFReader(whole)
    mixture = MIXTURES[kind]
    shapes = {tensor.name: tuple(int(size) for size in reversed(tensor.shape)) for tensor in reader.tensors}
    chosen = types(shapes.items(), mixture, _model(reader))
    writer = gguf.GGUFWriter(path, _field(reader, "general.architecture"))
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        value = mixture.file_type if field.name == "general.file_type" else field.contents()
        kinds = field.types
        writer.add_key_value(field.name, value, kinds[0], kinds[-1] if kinds[0] == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        stored = _type(gguf, tensor, chosen)
        size = prod(gguf.quant_shape_to_byte_shape(shapes[tensor.name], stored))
        writer.add_tensor_info(tensor.name, shapes[tensor.name], np.dtype(np.float32), size, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for tensor in reader.tensors:
            stored = _type(gguf, tensor, chosen)
            same = stored == tensor.tensor_type
            if same:
                writer.write_tensor_data(tensor.data)
            else:
                writer.write_tensor_data(_quantized(gguf, tensor, stored, importance, threads))
    writer.close()


def _type(gguf: Any, tensor: Any, chosen: dict[str, str]) -> Any:
    name = chosen.get(tensor.name)
    return gguf.GGMLQuantizationType[name] if name and tensor.tensor_type.name == "F32" else tensor.tensor_type


def _field(reader: Any, name: str, default: Any = 0) -> Any:
    return reader.fields[name].contents() if name in reader.fields else default


def _model(reader: Any) -> Shape:
    architecture = _field(reader, "general.architecture")
    heads, keys = (_field(reader, f"{architecture}.attention.{name}", 1) for name in ("head_count", "head_count_kv"))
    most, least = (max(count) if isinstance(count, list) else count for count in (heads, keys))
    return Shape(
        architecture,
        int(_field(reader, f"{architecture}.block_count")),
        int(_field(reader, f"{architecture}.expert_count")),
        most / max(1, least),
    )


def _quantized(
    gguf: Any, tensor: Any, kind: Any, importance: Importance, threads: ThreadPoolExecutor
) -> npt.NDArray[np.uint8]:
    """The bytes of a tensor of float32, in blocks of `kind`."""
    width = int(tensor.shape[0])
    numbers = np.ascontiguousarray(tensor.data, np.float32).reshape(-1, width)
    if not np.isfinite(numbers).all():
        raise CheckFailed(f"the tensor {tensor.name} contains NaN or infinite values.")
    if kind == gguf.GGMLQuantizationType.F16:
        return numbers.astype(np.float16).view(np.uint8)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.empty((len(numbers), width // block * size), np.uint8)
    pointers = [_pointer(array) for array in (numbers, out)]
    columns: list[Any] = list(importance.get(tensor.name, [None]))  # of each matrix
    each = len(numbers) // len(columns)  # rows of a matrix; there are several where experts share a tensor
    edges = np.linspace(0, each, min(each, -(-64 // len(columns))) + 1).astype(int).tolist()

    def part(one: tuple[int, tuple[int, int]]) -> None:
        matrix, (start, end) = one
        first = matrix * each + start
        weights = None if columns[matrix] is None else _pointer(columns[matrix])
        library().ggml_quantize_chunk(int(kind), *pointers, first * width, end - start, width, weights)

    list(threads.map(part, product(range(len(columns)), pairwise(edges))))
    return out


def _pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
