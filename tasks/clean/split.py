"""Which split a row belongs to: its file decides, else its own key, else the hash of its group or of what it asks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.clean.settings import Settings
from tasks.dedup.memmap import blocks, mask_of, zeros_like_rows

SPLITS = ("train", "validation", "test")

_NAMES = {name: name for name in SPLITS} | dict.fromkeys(("valid", "val", "dev"), "validation")


def split_named(text: str) -> str | None:
    """The split that `text` names, or None."""
    return _NAMES.get(text.lower())


def assigned_split(file_split: str | None, value: dict[str, Any]) -> str | None:
    """The split that the file or the record's key `split` names, or None. Raises `ValueError` for an unknown name."""
    if file_split:
        return file_split
    asked = value.get("split")
    if asked is None:
        return None
    if not isinstance(asked, str) or split_named(asked) is None:
        raise ValueError(asked)
    return split_named(asked)


def assign_splits(
    keys: Any,
    settings: Settings,
    clusters: npt.NDArray[np.int64] | None = None,
    staying: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int8]:
    """Number of the split of each record.

    `train` gives up a share to a split that nothing was given to, by the hash of the row's group: adding rows never
    moves others, and rows of one group stay together. So do rows of one cluster (`clusters`: the first record of it for
    each record), by the group of its first row. `staying`: which records the proportions of `stratify` are of.
    """
    splits: npt.NDArray[np.int8] = zeros_like_rows(keys, np.int8)
    assigned = set[int]()
    for block in blocks(len(keys), keys, splits):
        some = keys[block]
        assigned.update(np.unique(some["split"][~some["left"]]).tolist())
        splits[block] = np.maximum(some["split"], 0)
    validation, test = (
        0.0 if SPLITS.index(name) in assigned else share
        for name, share in (("validation", settings.validation_share), ("test", settings.test_share))
    )
    if settings.stratify is not None:
        open_ = mask_of(keys, lambda block: (splits[block] == 0) & (True if staying is None else staying[block]))
        _in_proportion(keys, splits, open_, clusters, test, validation)
        return splits
    for block in blocks(len(keys), keys, splits, *(() if clusters is None else (clusters,))):
        position = keys["group"][block if clusters is None else clusters[block]] / 2.0**64
        open_ = splits[block] == 0
        splits[block][open_ & (position < test + validation)] = SPLITS.index("validation")
        splits[block][open_ & (position < test)] = SPLITS.index("test")
    return splits


def _in_proportion(
    keys: Any,
    splits: npt.NDArray[np.int8],
    wanted: npt.NDArray[np.bool_],
    clusters: npt.NDArray[np.int64] | None,
    test: float,
    validation: float,
) -> None:
    """Of each stratum give its share of the `wanted` records to the test, and to validation: those of the groups with
    the lowest hashes.

    A share that is no whole number is rounded up or down by the hash of the stratum, so that in many small strata as
    many rows are drawn as in one large one. A group belongs to the stratum with the lowest hash among its rows. Takes
    about 80 bytes of memory a record.
    """
    places = np.flatnonzero(wanted)
    whose = places if clusters is None else clusters[places]
    groups, strata = keys["group"][whose], keys["stratum"][places]
    order = np.lexsort((strata, groups))
    places, groups, strata = places[order], groups[order], strata[order]
    first = np.flatnonzero(np.diff(groups, prepend=~groups[:1]) != 0)  # of each group, its lowest stratum
    sizes = np.diff(np.append(first, len(groups)))
    order = np.lexsort((groups[first], strata[first]))
    sizes, stratum = sizes[order], strata[first][order]
    starts = np.flatnonzero(np.diff(stratum, prepend=~stratum[:1]) != 0)
    of = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(stratum))))
    before = np.cumsum(sizes) - sizes
    totals = np.add.reduceat(sizes, starts) if len(starts) else sizes
    middle = before - before[starts][of] + (sizes + 1) / 2  # a group counts where most of it lies within the share
    rounding = stratum / 2.0**64
    drawn = np.zeros(len(sizes), np.int8)
    drawn[middle <= (test + validation) * totals[of] + rounding] = SPLITS.index("validation")
    drawn[middle <= test * totals[of] + rounding] = SPLITS.index("test")
    by_group = np.empty_like(drawn)
    by_group[order] = drawn
    splits[places] = np.repeat(by_group, np.diff(np.append(first, len(groups))))
