"""Which split a row belongs to: its file decides, else its own key, else the hash of its group or of what it asks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.clean.keys import BLOCK
from tasks.clean.settings import Settings

SPLITS = ("train", "validation", "test")

_NAMES = {name: name for name in SPLITS} | dict.fromkeys(("valid", "val", "dev"), "validation")


def named(text: str) -> str | None:
    """The split that `text` names, or None."""
    return _NAMES.get(text.lower())


def given(file_split: str | None, value: dict[str, Any]) -> str | None:
    """The split that the file or the record's key `split` names, or None. Raises `ValueError` for an unknown name."""
    if file_split:
        return file_split
    asked = value.get("split")
    if asked is None:
        return None
    if not isinstance(asked, str) or named(asked) is None:
        raise ValueError(asked)
    return named(asked)


def drawn(keys: Any, settings: Settings, clusters: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int8]:
    """Number of the split of each record.

    `train` gives up a share to a split that nothing was given to, by the hash of the row's group: adding rows never
    moves others, and rows of one group stay together. So do rows of one cluster (`clusters`: the first record of it for
    each record), by the group of its first row.
    """
    splits = np.array(keys["given"], dtype=np.int8)
    present = np.bincount(splits[~np.array(keys["left"])] + 1, minlength=4)[1:]
    validation = 0.0 if present[SPLITS.index("validation")] else settings.validation_share
    test = 0.0 if present[SPLITS.index("test")] else settings.test_share
    for start in range(0, len(keys), BLOCK):
        block = splits[start : start + BLOCK]
        whose = slice(start, start + BLOCK) if clusters is None else clusters[start : start + BLOCK]
        place = keys["group"][whose] / 2.0**64
        open_ = block <= 0
        block[open_] = 0
        block[open_ & (place < test + validation)] = SPLITS.index("validation")
        block[open_ & (place < test)] = SPLITS.index("test")
    return splits
