"""Attention over one row at a time where several share a line, on a processor: none is computed between rows.

    if row_attention.use(model):  # afterwards a batch from FLAT_COLLATOR costs the attention of its rows alone
        ...

transformers keeps rows apart by a mask over the whole line, and PyTorch's kernel for processors computes all that the
mask hides. Rows of about the same length go through that kernel side by side here, each filled up at its end, which no
token before it sees. What a model's mask hides within a row, such as what is beyond a sliding window, stays hidden.

Shapes: `T` tokens of a line, `N` rows of a bundle, `L` tokens of its longest row, `H` heads, `D` numbers a head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from tasks.models.private_transformers import attention, choose_attention

NAME = "sdpa_by_row"
"""What transformers knows this attention by."""

ALIKE = 0.7
"""Length of the shortest row of a bundle, at least, as a share of the longest: in turn, short rows cost more in calls
than in attention; side by side with much longer ones, more in filling."""

WIDENED = {torch.bfloat16: torch.float32}
"""In which type the kernel computes numbers of another: its backward pass for bfloat16 takes twice the time of float32,
which costs only two copies."""


@dataclass(frozen=True)
class Bundle:
    """Rows that go through the kernel side by side."""

    rows: tuple[int, ...]
    sizes: tuple[int, ...]
    """Of each row its tokens, and the filling behind it, in turn."""
    mask: Any
    """What a token sees (1, 1, L, L); None where that is itself and all before it."""


@dataclass(frozen=True)
class RowMask:
    """What models of transformers hand to their attention in the place of a mask (1, 1, T, T)."""

    lengths: tuple[int, ...]
    """Tokens of each row of the line."""
    bundles: tuple[Bundle, ...]


def use(model: Any, lengths: tuple[int, ...] = ()) -> bool:
    """Have `model` compute attention row by row where rows share a line; whether it can.

    It can where it is on a processor, and computes attention by PyTorch's own function, exchangeably. Batches of
    another form than one line of rows have the attention that they had. `lengths`: the tokens of each row of every
    line, for a model of tensors without numbers, whose positions do not tell where rows begin.
    """
    if next(model.parameters()).device.type != "cpu" or not hasattr(model, "config") or attention(model) != "sdpa":
        return False
    from transformers import AttentionInterface, AttentionMaskInterface

    name = f"{NAME}_on_paper" if lengths else NAME
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, partial(_mask_on_paper, lengths) if lengths else mask)
    return choose_attention(model, name)


def leave(model: Any) -> None:
    """Undo `use`."""
    choose_attention(model, "sdpa")


def mask(**given: Any) -> Any:
    """A `RowMask` where one line holds several rows; else what PyTorch's attention is given.

    `given`: see `transformers.masking_utils.sdpa_mask`. Rows begin where a token does not see the one before it.
    """
    from transformers.masking_utils import sdpa_mask

    length, sees = given["q_length"], given["mask_function"]
    plain = given.get("attention_mask") is None and not given.get("use_vmap")
    whole = given["kv_length"] == length and not given.get("q_offset") and not given.get("kv_offset")
    if not plain or not whole or given["batch_size"] > 1 or length == 1:
        return sdpa_mask(**given)
    here = torch.arange(1, length)
    starts = [0, *(here[~_sees(sees, here, here - 1)]).tolist()]
    if len(starts) == 1:
        return sdpa_mask(**given)
    lengths = tuple(end - start for start, end in pairwise([*starts, length]))
    return RowMask(lengths, tuple(_bundle(rows, starts, lengths, sees) for rows in bundled(lengths)))


def _mask_on_paper(lengths: tuple[int, ...], **given: Any) -> RowMask:
    """The mask of rows with `lengths` tokens, as far as it takes memory; `given`: see `mask`."""
    window = given.get("local_size") or max(lengths)
    bundles = []
    for rows in bundled(lengths):
        longest = lengths[rows[0]]
        seen = torch.ones(1, 1, longest, longest, dtype=torch.bool) if longest > window else None
        bundles.append(Bundle(rows, _sizes(rows, lengths), seen))
    return RowMask(lengths, tuple(bundles))


def bundled(lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Rows of so many tokens as bundles of about the same length each, the longest first; rows by their index.

    >>> bundled((100, 20, 90, 15))
    [(0, 2), (1, 3)]
    """
    bundles: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if bundles and lengths[row] >= ALIKE * lengths[bundles[-1][0]]:
            bundles[-1].append(row)
        else:
            bundles.append([row])
    return [tuple(rows) for rows in bundles]


def _bundle(rows: tuple[int, ...], starts: list[int], lengths: tuple[int, ...], sees: Callable[..., Any]) -> Bundle:
    """The bundle of `rows`. A shorter row sees what the longest one, the first, sees at the same places."""
    longest = lengths[rows[0]]
    places = torch.arange(starts[rows[0]], starts[rows[0]] + longest)
    seen = _sees(sees, places[:, None], places[None])  # (L, L)
    causal = torch.equal(seen, torch.ones_like(seen).tril())
    return Bundle(rows, _sizes(rows, lengths), None if causal else seen[None, None])


def _sizes(rows: tuple[int, ...], lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Of each of `rows`, the longest first, its tokens and the filling behind it, in turn."""
    return tuple(size for row in rows for size in (lengths[row], lengths[rows[0]] - lengths[row]))


def _sees(sees: Callable[..., Any], queries: Any, keys: Any) -> Any:
    """Whether the tokens at the places `queries` see those at `keys`, by a function of transformers."""
    first = torch.zeros((), dtype=torch.long)
    return sees(first, first, queries, keys)


def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> tuple[Any, None]:
    """Attention (1, T, H, D) of `query`, `key` and `value` (1, H, T, D), row by row where the mask says so.

    Raises `ValueError` where the model adds something to the scores, which would have to be cut into rows as well.
    """
    from transformers import AttentionInterface

    plain = AttentionInterface()["sdpa"]
    if not isinstance(attention_mask, RowMask):
        return plain(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    if options.get("position_bias") is not None:
        raise ValueError(f"{NAME}: the model adds to the scores of attention")
    lengths, dtype = attention_mask.lengths, query.dtype
    lines = (line[0].transpose(0, 1).to(WIDENED.get(dtype, dtype)) for line in (query, key, value))
    parts = [line.split(lengths) for line in lines]  # rows of (tokens, H, D)
    outputs: list[Any] = [None] * len(lengths)
    for bundle in attention_mask.bundles:
        stacked = [_stacked(rows, bundle) for rows in parts]  # (N, H, L, D)
        with torch.autocast("cpu", enabled=False):
            attended = plain(module, *stacked, bundle.mask, **options)[0].to(dtype)  # (N, L, H, D)
        for row, output in zip(bundle.rows, attended.flatten(0, 1).split(bundle.sizes)[::2], strict=True):
            outputs[row] = output
    return torch.cat(outputs)[None], None


def _stacked(rows: tuple[Any, ...], bundle: Bundle) -> Any:
    """The rows of `bundle` side by side, each filled up with zeros; by one copy, and one on the way back."""
    shape = rows[0].shape[1:]
    pieces = [
        piece
        for row, filling in zip(bundle.rows, bundle.sizes[1::2], strict=True)
        for piece in (rows[row], rows[row].new_zeros(filling, *shape))
    ]
    return torch.cat(pieces).view(len(bundle.rows), -1, *shape).transpose(1, 2)
