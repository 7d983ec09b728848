"""What becomes of a row because of other rows: taken or not by `mix`, a duplicate, or in the way of the test."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.clean.keys import equal_groups
from tasks.clean.settings import Part
from tasks.clean.split import SPLITS
from tasks.dedup.memmap import blocks, mask_of, part_count, zeros_like_rows

REASONS = (
    "",
    "not_sampled",
    "duplicate",
    "duplicate_across_splits",
    "near_duplicate",
    "conflicting_answers",
    "near_duplicate_of_test",
    "passage_of_test",
    "near_duplicate_of_benchmark",
    "passage_of_benchmark",
)
"""Reasons for leaving, by number; 0: stays."""

Reasons = npt.NDArray[np.uint8]


def sample_mix(keys: Any, mix: tuple[Part, ...]) -> Reasons:
    """Leave out what `mix` does not take: by the hash of the row, so that adding rows never changes others."""
    reasons: Reasons = zeros_like_rows(keys, np.uint8)
    for number, part in enumerate(mix):
        limit = int(part.share * 2**64)
        if part.cap is not None:
            limit = min(limit, _lowest(keys, number, part.cap))
        if limit >= 2**64:
            continue
        for block in blocks(len(keys), keys):
            some = keys[block]
            out = (some["part"] == number) & ~some["left"] & (draw(some["id"]) >= np.uint64(limit))
            reasons[block][out] = REASONS.index("not_sampled")
    return reasons


def remaining(keys: Any, reasons: Reasons, those: Callable[[slice], Any] | None = None) -> npt.NDArray[np.bool_]:
    """Which records stay so far; only of `those`, where it is said for a block of places which they are."""

    def stay(block: slice) -> Any:
        stays_so_far = ~keys[block]["left"] & (reasons[block] == 0)
        return stays_so_far if those is None else stays_so_far & those(block)

    stays: npt.NDArray[np.bool_] = mask_of(keys, stay)
    return stays


def mark_duplicates(keys: Any, splits: npt.NDArray[np.int8], reasons: Reasons) -> None:
    """Leave out rows that stand twice: what is in the test stays before validation, and that before train."""
    for groups in equal_groups(keys, "request", remaining(keys, reasons)):
        of_each = splits[groups.places]
        elsewhere = of_each < groups.each(np.maximum.reduceat(of_each, groups.starts))
        reasons[groups.places[elsewhere]] = REASONS.index("duplicate_across_splits")
    for groups in equal_groups(keys, "content", remaining(keys, reasons)):
        reasons[np.delete(groups.places, groups.starts)] = REASONS.index("duplicate")


def mark_conflicts(keys: Any, splits: npt.NDArray[np.int8], reasons: Reasons, *, drop: bool) -> npt.NDArray[np.bool_]:
    """Which dialogues stay though their request has another answer too in the same split.

    Where `drop` says so, no training dialogue does; held-out ones always stay.
    """
    conflicting: npt.NDArray[np.bool_] = zeros_like_rows(keys, np.bool_)
    for split in range(len(SPLITS)):
        dialogues = remaining(keys, reasons, partial(_dialogues_of, split, keys, splits))
        for groups in equal_groups(keys, "request", dialogues):
            answers = keys["content"][groups.places]
            lowest, highest = (extreme.reduceat(answers, groups.starts) for extreme in (np.minimum, np.maximum))
            several = groups.places[groups.each(lowest < highest)]
            if drop and split == SPLITS.index("train"):
                reasons[several] = REASONS.index("conflicting_answers")
            else:
                conflicting[several] = True
    return conflicting


def _dialogues_of(split: int, keys: Any, splits: npt.NDArray[np.int8], block: slice) -> Any:
    return (splits[block] == split) & keys[block]["dialogue"]


def mark_near_duplicates(
    keys: Any, splits: npt.NDArray[np.int8], reasons: Reasons, clusters: npt.NDArray[np.int64], most: int
) -> dict[int, int]:
    """Of each cluster leave all but the best; return the sizes of the `most` largest, by the one that stays.

    `clusters`: for each record the first one of its cluster.
    """
    stays, largest = remaining(keys, reasons), dict[int, int]()
    count = part_count(len(keys))
    for part in range(count):
        indices = np.concatenate(
            [
                block.start + np.flatnonzero((clusters[block] % count == part) & stays[block])
                for block in blocks(len(keys), keys, clusters, stays)
            ]
            or [np.zeros(0, np.int64)]
        )
        answers = keys["answer"][indices].astype(np.int64)
        indices = indices[np.lexsort((indices, -answers, -splits[indices], clusters[indices]))]
        first = np.append(True, np.diff(clusters[indices]) != 0) if len(indices) else np.zeros(0, bool)
        reasons[indices[~first]] = REASONS.index("near_duplicate")
        sizes = np.diff(np.append(np.flatnonzero(first), len(indices)))
        several = sizes > 1
        largest |= dict(zip(indices[first][several].tolist(), sizes[several].tolist(), strict=True))
        order = sorted(largest, key=lambda index: (-largest[index], index))
        largest = {index: largest[index] for index in order[:most]}
    return largest


def repeated_ids(keys: Any, reasons: Reasons) -> dict[int, int]:
    """Place -> how often the row's id has come before it and once more, for rows that stay and are not the first."""
    names = dict[int, int]()
    for groups in equal_groups(keys, "id", remaining(keys, reasons)):
        counts = np.arange(len(groups.places)) - groups.each(groups.starts) + 1
        names |= dict(zip(groups.places[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True))
    return names


def draw(ids: Any) -> npt.NDArray[np.uint64]:
    """A second hash of the row, which has nothing to do with its split (SplitMix64's finaliser, Steele et al. 2014)."""
    mixed = np.array(ids, dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    drawn: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return drawn


def _lowest(keys: Any, part: int, count: int) -> int:
    """The value below which `count` draws of the part's rows lie; found by bisection, so nothing is sorted."""
    low, high = 0, 2**64
    while low < high:
        middle = (low + high) // 2
        if _below(keys, part, middle) >= count:
            high = middle
        else:
            low = middle + 1
    return low


def _below(keys: Any, part: int, limit: int) -> int:
    total = 0
    for block in blocks(len(keys), keys):
        some = keys[block]
        draws = draw(some["id"][(some["part"] == part) & ~some["left"]])
        total += len(draws) if limit >= 2**64 else int((draws < np.uint64(limit)).sum())
    return total
