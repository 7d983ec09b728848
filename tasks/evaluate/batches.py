"""Rows of similar length in batches that memory can hold."""

from collections.abc import Sequence


def batches(lengths: Sequence[int], rows: int, tokens: int) -> list[list[int]]:
    """Places in `lengths`, the longest first, in batches of at most `rows` rows and `tokens` tokens with padding.

    The longest first, so that what does not fit into memory fails at once. A row longer than `tokens` stands alone.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    made: list[list[int]] = []
    for place in order:
        if made and len(made[-1]) < rows and (len(made[-1]) + 1) * lengths[made[-1][0]] <= tokens:
            made[-1].append(place)
        else:
            made.append([place])
    return made
