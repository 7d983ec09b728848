"""Files of strangers, as libraries read them: whatever a library raises there is one sentence that names the file.

    with foreign(folder / CONFIG):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)

`check_sizes` comes first where a library would build what the file asks for: sizes that lie cost time and memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, Protocol

from tasks.core.errors import ModelError, TemperError, is_fault
from tasks.core.json_files import read_object
from tasks.core.numbers import counted

CONFIG = "config.json"

WIDTHS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "n_embd", "n_head", "n_inner", "d_model", "moe_intermediate_size", "num_experts", "num_local_experts",
    "num_labels",
)  # fmt: skip
"""Keys of config.json that say how wide a tensor is, or of how many names a list is made."""

DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Keys that say how many layers there are, each of one tensor at least."""

PACKED = 64
"""How many numbers of a quantised weight may be stored as one."""


class Shaped(Protocol):
    """A tensor as the head of its file describes it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""


@contextmanager
def foreign(path: Path, remedy: str = "restore the file", what: str = "it cannot be used") -> Iterator[None]:
    """Raise `ModelError`, with `path`, `what` is wrong and what to do (`remedy`), for whatever a library raises within.

    What the machine lacks (a disk, a file, memory of a graphics card) stays the error that it is.
    """
    try:
        yield
    except TemperError:
        raise
    except MemoryError:
        raise ModelError(f"{path}: it needs more memory than this machine has; {remedy}.") from None
    except BaseException as error:
        if (
            not is_fault(error)
            or (isinstance(error, OSError) and error.errno)
            or type(error).__name__ == "OutOfMemoryError"
        ):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        shown = reason if len(reason) <= 300 else f"{reason[:300]}..."
        raise ModelError(f"{path}: {what} ({shown}); {remedy}.") from None


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder. Raises `ModelError` where it is none."""
    try:
        return read_object(folder / CONFIG, ModelError, "put the one that belongs to the weights there")
    except FileNotFoundError:
        raise ModelError(f"{folder}: no {CONFIG}; put the one that belongs to the weights there.") from None


def check_complete(location: str | Path, missing: Sequence[str]) -> None:
    """Raise `ModelError` where the model lacks the weights `missing`: transformers fills them with random values."""
    if missing:
        raise ModelError(
            f"{location}: {counted(len(missing), 'weights')} missing, such as {missing[0]}, which transformers would "
            "fill with random values; restore the files of the model."
        )


def check_sizes(folder: Path, tensors: Mapping[str, Shaped]) -> None:
    """Raise `ModelError` where config.json asks for a model that `tensors`, those beside it, cannot fill."""
    config = read_config(folder)
    numbers = PACKED * max((prod(tensor.shape) for tensor in tensors.values()), default=0)
    beside = counted(len(tensors), "tensors")
    nested = [value for value in config.values() if isinstance(value, dict)]
    for values in (config, *nested):
        for keys, most, fault in (
            (WIDTHS, numbers, f"the largest of {beside} beside it has fewer values"),
            (DEPTHS, len(tensors), f"there are only {beside} beside it"),
        ):
            for key in keys:
                size = values.get(key)
                if size is None or isinstance(size, list):  # a list: one for each layer
                    continue
                if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                    raise ModelError(f"{folder / CONFIG}: {key} = {size!r} is not a valid size; restore the file.")
                if size > most:
                    raise ModelError(f"{folder / CONFIG}: {key} = {size}, but {fault}; restore the file.")
