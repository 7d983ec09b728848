"""Words of many texts as numbers, by which they are compared with held-out texts all at once.

Shapes: `N` texts, `W` words of all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tasks.dedup.bags import Bags

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Numbered:
    """Words of normalised texts in order, each with the number that a dictionary gives to it."""

    words: Numbers
    """`[W]`; a word that is not in the dictionary has a number of its own, from `known` on."""
    owners: Numbers
    """`[W]`: the number of the text, ascending."""
    texts: int
    known: int
    """Words in the dictionary: their numbers are from 0 to below this."""

    def bags(self) -> Bags:
        """The set of each text's words, ascending."""
        marked = np.sort(self.owners << 32 | self.words)
        if len(marked):
            marked = marked[np.append(True, marked[1:] != marked[:-1])]
        return Bags(marked.astype(np.uint32), np.bincount(marked >> 32, minlength=self.texts))


def numbered(texts: Any, dictionary: Mapping[str, int]) -> Numbered:
    """The words of an array of normalised texts, which stand between single spaces.

    `dictionary`: numbers from 0 on, without a gap.
    """
    parts = pc.split_pattern(texts, " ")
    spellings = parts.values.dictionary_encode()
    table = np.array(
        [dictionary.get(word, len(dictionary) + at) if word else -1 for at, word in enumerate(_list(spellings))],
        np.int64,
    )
    offsets = parts.offsets.to_numpy()
    words = table[spellings.indices.to_numpy()[offsets[0] : offsets[-1]]]
    owners = np.repeat(np.arange(len(texts)), np.diff(offsets))
    full = words >= 0  # a turn without words leaves two spaces
    return Numbered(words[full], owners[full], len(texts), len(dictionary))


def _list(spellings: Any) -> list[str]:
    listed: list[str] = spellings.dictionary.to_pylist()
    return listed
