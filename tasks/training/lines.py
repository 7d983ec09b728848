"""How the rows of a batch share a few lines on a processor, where attention takes time with the square of a line.

lines([30, 500, 20, 480])    # [[1, 0], [3, 2]]
"""

from collections.abc import Sequence
from heapq import heapify, heapreplace

LINE = 256
"""Tokens of a line, about. Of shorter ones more positions have a loss in one line or another, and cost a row of logits
in each; of 1,400 tokens in one line, two fifths of a training's time were attention between rows, all of it masked."""

DENSE = 4096
"""Tokens of a batch up to which attention over all of it, most of it masked, costs less than padding of short rows."""


def lines(lengths: Sequence[int]) -> list[list[int]]:
    """Rows of so many tokens as lines of about the same length each: the rows of each line, by their index.

    The longest rows are put first, each where there are the fewest tokens (Graham 1969), so that little is filled up;
    there are no more lines than the longest row would fill.
    """
    total = sum(lengths)
    count = max(1, min(round(total / LINE), total // max(1, *lengths, 1)))
    shares: list[tuple[int, int, list[int]]] = [(0, index, []) for index in range(count)]
    heapify(shares)
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        tokens, index, rows = shares[0]
        heapreplace(shares, (tokens + lengths[row], index, [*rows, row]))
    return [rows for _, _, rows in sorted(shares, key=lambda share: share[1])]
