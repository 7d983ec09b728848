"""Rows of many lengths into packs of at most `capacity` tokens, by best fit, longest first. No row is cut or lost.

Shapes: `N` rows, `L` different lengths up to `capacity`.

Best fit decreasing (Johnson 1973): each row goes where the least space is left over. Rows of one length are placed
together, so the work goes with the number of different lengths and not with the number of rows. Which lengths share a
pack depends on the lengths only; among rows of one length the earlier row goes into the pack that waited longer.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.errors import InputError
from tasks.rows.ranks import ranks

TOKENS = 1 << 22
"""Tokens that are packed together, which bounds the memory: 32 MiB of ids and labels, in up to three copies."""

PACKS = 256
"""Packs that are filled together at least, however large they are; the last ones are the emptier ones."""


def packed(batches: Iterable[pa.RecordBatch], capacity: int) -> Iterator[pa.RecordBatch]:
    """The rows of `batches` in another order, with the column `pack` (int32): ascending from 0, neighbours together.

    `batches` have a column input_ids (a list a row); other columns go along. Some `TOKENS` tokens are held and packed
    at a time, so memory does not grow with the rows, and a batch that comes out holds whole packs. Raises `InputError`
    as `pack` does; the row that it names is counted from the start of the part.
    """
    limit = max(TOKENS, PACKS * capacity)
    held: list[pa.RecordBatch] = []
    tokens = before = 0
    for batch in batches:
        held.append(batch)
        tokens += len(batch.column("input_ids").flatten())
        if tokens >= limit:
            done = _together(held, capacity, before)
            before = done.column("pack")[-1].as_py() + 1
            yield done
            held, tokens = [], 0
    if any(batch.num_rows for batch in held):
        yield _together(held, capacity, before)


def packed_in_order(rows: pa.Table, capacity: int) -> Iterator[pa.RecordBatch]:
    """The same of a memory-mapped table with the column `order`: rows, and so packs, rise by it.

    Each pack takes the rows that come next, as many as fit (next fit, Johnson 1973): best fit would put rows from one
    end of the order beside those from the other. Raises `InputError` as `pack` does.
    """
    order = np.argsort(ranks(rows.column("order")), kind="stable")
    lengths = pc.list_value_length(rows.column("input_ids")).to_numpy()
    _check(lengths, capacity)
    ends = np.cumsum(lengths[order])
    starts = [0]
    while starts[-1] < len(order):
        room = capacity + (ends[starts[-1] - 1] if starts[-1] else 0)
        starts.append(int(np.searchsorted(ends, room, "right")))
    for first in range(0, len(starts) - 1, PACKS):
        bounds = np.array(starts[first : first + PACKS + 1])
        numbers = np.repeat(np.arange(len(bounds) - 1, dtype=np.int32) + np.int32(first), np.diff(bounds))
        (batch,) = rows.take(pa.array(order[bounds[0] : bounds[-1]])).combine_chunks().to_batches()
        yield batch.append_column(pa.field("pack", pa.int32()), pa.array(numbers))


def _together(held: list[pa.RecordBatch], capacity: int, before: int) -> pa.RecordBatch:
    """One batch of the rows in `held`, packed; the first pack has the number `before`."""
    rows = pa.Table.from_batches(held).combine_chunks()
    order, packs = arrange(pc.list_value_length(rows.column("input_ids")).to_numpy(), capacity)
    (batch,) = rows.take(pa.array(order)).combine_chunks().to_batches()
    return batch.append_column(pa.field("pack", pa.int32()), pa.array(packs + np.int32(before)))


def arrange(lengths: Any, capacity: int) -> tuple[Any, Any]:
    """The order in which rows are written, and the pack of each in that order.

    Returns `order` (N, int64: row numbers) and `packs` (N, int32: ascending from 0, without gaps). Rows of a pack are
    neighbours, in their own order. Raises `InputError` as `pack` does.
    """
    packs = pack(lengths, capacity)
    order = np.argsort(packs, kind="stable")
    return order, packs[order]


def pack(lengths: Any, capacity: int) -> Any:
    """The pack of each row (N, int32), numbered in the order of their first rows.

    >>> pack([5, 3, 2, 4], capacity=8).tolist()
    [0, 0, 1, 1]

    `lengths` (N): tokens of each row, 1 to `capacity`, whole numbers. Raises `InputError` naming the first row that is
    longer, or empty.
    """
    lengths = np.asarray(lengths)
    if not len(lengths):
        return np.empty(0, np.int32)
    _check(lengths, capacity)
    falling = np.argsort((capacity - lengths).astype(np.uint16 if capacity < 1 << 16 else np.int64), kind="stable")
    by_row = np.empty(len(lengths), np.int32)
    by_row[falling] = _placed(np.bincount(lengths), capacity)
    return _renumbered(by_row)


def _check(lengths: Any, capacity: int) -> None:
    wrong = np.flatnonzero((lengths < 1) | (lengths > capacity))
    if len(wrong):
        raise InputError(
            f"packing: row {wrong[0]} has {lengths[wrong[0]]} tokens, but a pack holds 1 to {capacity} ({len(wrong)} "
            "such rows); shorten or remove them, or make the packs larger."
        )


def _placed(counts: Any, capacity: int) -> Any:
    """The pack of each row (N), rows from the longest to the shortest; `counts`: rows of each length."""
    moves = list(_moves(counts, capacity))
    # Packs with the same space left stand in a queue; one array holds all queues, each as long as it ever gets.
    arrivals: dict[int, int] = {}
    for _, bins, each, length, space in moves:
        left = space - each * length
        arrivals[left] = arrivals.get(left, 0) + bins
    opened = sum(bins for fresh, bins, *_ in moves if fresh)
    arrivals[capacity] = opened
    ends = dict(zip(arrivals, np.cumsum(list(arrivals.values())).tolist(), strict=True))
    head = {space: ends[space] - arrivals[space] for space in arrivals}
    tail = dict(head)
    queues = np.empty(sum(arrivals.values()), np.int32)
    queues[head[capacity] : ends[capacity]] = np.arange(opened, dtype=np.int32)
    placed = np.empty(int(counts.sum()), np.int32)
    row = 0
    for _, bins, each, length, space in moves:
        first, left = head[space], space - each * length
        taken = queues[first : first + bins]
        head[space] = first + bins
        queues[tail[left] : tail[left] + bins] = taken
        tail[left] += bins
        placed[row : row + bins * each] = taken if each == 1 else np.repeat(taken, each)
        row += bins * each
    return placed


def _moves(counts: Any, capacity: int) -> Iterator[tuple[bool, int, int, int, int]]:
    """What best fit does, lengths falling: (new packs?, packs, rows into each, length of a row, space before).

    A pack that takes a row and has room for another of the same length is now the tightest fit, so it takes the next
    one too: it is filled as far as that length goes.
    """
    waiting: dict[int, int] = {}
    spaces: list[int] = []  # those of packs that wait, rising
    for length in np.flatnonzero(counts)[::-1].tolist():
        rows = int(counts[length])
        while rows:
            at = bisect_left(spaces, length)
            fresh = at == len(spaces)
            space = capacity if fresh else spaces[at]
            each = min(space // length, rows)
            bins = rows // each if fresh else min(waiting[space], rows // each)
            rows -= bins * each
            yield fresh, bins, each, length, space
            if not fresh:
                waiting[space] -= bins
                if not waiting[space]:
                    del spaces[at]
            left = space - each * length
            if left and not waiting.get(left):
                insort(spaces, left)
                waiting[left] = 0
            if left:
                waiting[left] += bins


def _renumbered(packs: Any) -> Any:
    """The same packs, numbered in the order of their first rows."""
    rows = len(packs)
    first = np.empty(int(packs.max()) + 1, np.int64)
    first[packs[::-1]] = np.arange(rows - 1, -1, -1)  # the last value assigned stays: the smallest row
    numbers = np.empty(len(first), np.int32)
    numbers[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return numbers[packs]
