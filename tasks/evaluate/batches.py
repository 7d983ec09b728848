"""Rows of similar length in batches that memory can hold."""

from collections.abc import Sequence


def batches(lengths: Sequence[int], rows: int, tokens: int) -> list[list[int]]:
    """Indices into `lengths`, the longest first, in batches of at most `rows` rows and `tokens` tokens with padding.

    The longest first, so that what does not fit into memory fails at once. A row longer than `tokens` stands alone.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    groups: list[list[int]] = []
    for index in order:
        if groups and len(groups[-1]) < rows and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
