"""How often each training row stands in train.parquet, and in what order where parts of `mix` take turns.

Nothing here looks for duplicates: a row is repeated after all that compares rows is done.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.clean.cross_row import REASONS, Reasons, draw, remaining
from tasks.clean.settings import MOST_TIMES, Interleave, Part, Settings
from tasks.clean.write import Scratch, SplitWriters, renamed_in
from tasks.core.errors import InputError
from tasks.dedup.memmap import blocks, zeros_like_rows

DRAWS = 1000
"""Draws that are made, and rows that are written, at once."""

Times = npt.NDArray[np.uint8]


def times(keys: Any, splits: npt.NDArray[np.int8], reasons: Reasons, settings: Settings) -> Times:
    """How often the file of its split has each row: 1, or for training rows what `share` says; 0 for those that leave.

    0 also for training rows that are drawn by turns, which `Turns` writes.
    """
    counts: Times = zeros_like_rows(keys, np.uint8)
    for block in blocks(len(keys), keys, counts, splits, reasons):
        some = keys[block]
        stays = ~some["left"] & (reasons[block] == 0)
        of_train = stays & (splits[block] == 0)
        counts[block] = stays & ~(of_train & (settings.interleave is not None))
        for number, part in enumerate(settings.mix):
            if part.share > 1:
                whole, rest = divmod(part.share, 1)
                repeated = of_train & (some["part"] == number)
                # a second draw, for the first one decides which rows a cap takes
                more = draw(draw(some["id"])) < np.uint64(rest * 2**64)
                counts[block][repeated] = (int(whole) + more)[repeated]
    return counts


def repeated(counts: Times) -> int:
    """Rows that stand in their file already: for each the times beyond the first."""
    return sum(int((counts[block].astype(np.int64) - 1).clip(0).sum()) for block in blocks(len(counts), counts))


class Turns:
    """Training rows drawn from the parts of `mix` by turns.

    Rows of a part that are never drawn get the reason `not_sampled`. Raises `InputError` for a part without training
    rows, for training rows of no part, and where rows would be drawn too often.
    """

    def __init__(
        self, keys: Any, splits: npt.NDArray[np.int8], reasons: Reasons, mix: tuple[Part, ...], rule: Interleave
    ) -> None:
        self._keys, self._mix, self._rule = keys, mix, rule
        self._wanted = remaining(keys, reasons, lambda block: splits[block] == 0)
        self.sizes = np.zeros(len(mix), np.int64)
        for block in blocks(len(keys), keys, self._wanted):
            parts = keys[block]["part"][self._wanted[block]]
            if (parts < 0).any():
                raise InputError(
                    "clean.interleave: some training rows belong to no part of clean.mix; add a part for their files."
                )
            self.sizes += np.bincount(parts, minlength=len(mix))
        if not self.sizes.all():
            empty = mix[int(np.argmin(self.sizes))].files
            raise InputError(f"clean.interleave: the part '{empty}' of clean.mix has no training rows left; remove it.")
        self.drawn = np.zeros(len(mix), np.int64)
        for drawn in self._draws():
            self.drawn += np.bincount(drawn, minlength=len(mix))
            if (self.drawn > MOST_TIMES * self.sizes).any():
                often = mix[int(np.argmax(self.drawn / self.sizes))].files
                raise InputError(
                    f"clean.interleave: rows of '{often}' would be drawn more than {MOST_TIMES} times before all "
                    "others are; lower its probability, or set stop to first_exhausted."
                )
        self._leave_undrawn(reasons)

    @property
    def repeated(self) -> int:
        """Rows of train.parquet that stand there already."""
        return int(np.maximum(self.drawn - self.sizes, 0).sum())

    def write(self, scratch: Scratch, writers: SplitWriters, names: dict[int, int]) -> None:
        """Write the rows as they are drawn; `names`: place -> number behind the id, of rows with equal ids."""
        streams = [self._stream(part, scratch, writers, names) for part in range(len(self.sizes))]
        rest = [next(stream) for stream in streams]
        for drawn in self._draws():
            taken = []
            for part, wanted in enumerate(np.bincount(drawn, minlength=len(streams)).tolist()):
                while rest[part].num_rows < wanted:
                    rest[part] = pa.concat_tables([rest[part], next(streams[part])])
                taken.append(rest[part].slice(0, wanted))
                rest[part] = rest[part].slice(wanted)
            # rows stand there part after part: the place of each among them is its place among draws sorted by part
            order = np.argsort(np.argsort(drawn, kind="stable"), kind="stable")
            writers.add("train", pa.concat_tables(taken).take(pa.array(order)))

    def _draws(self) -> Iterator[npt.NDArray[np.int64]]:
        """Numbers of parts, some at a time: the very ones of `datasets.interleave_datasets` with this seed."""
        generator = np.random.default_rng(self._rule.seed)
        probabilities = np.array([part.probability for part in self._mix])
        probabilities /= probabilities.sum()
        before = np.zeros(len(self._mix), np.int64)
        while True:
            drawn = generator.choice(len(self._mix), DRAWS, p=probabilities)
            counts = before + np.cumsum(drawn[:, None] == np.arange(len(self._mix)), axis=0)  # (draws, parts)
            exhausted = counts >= self.sizes
            done = exhausted.any(1) if self._rule.stop == "first_exhausted" else exhausted.all(1)
            if done.any():
                yield drawn[: int(np.argmax(done)) + 1]
                return
            yield drawn
            before = counts[-1]

    def _stream(self, part: int, scratch: Scratch, writers: SplitWriters, names: dict[int, int]) -> Iterator[pa.Table]:
        """The training rows of a part in the order of the files, again and again."""
        again, useful = 0, dict[int, int]()
        while True:
            for number, (start, batch) in enumerate(scratch.batches(only=useful if again else None)):
                block = slice(start, start + batch.num_rows)
                at = np.flatnonzero(self._wanted[block] & (self._keys[block]["part"] == part))
                if len(at):
                    if not again:
                        useful[number] = start
                    yield writers.rows("train", batch, at, renamed_in(batch, start, names), again)
            again += 1

    def _leave_undrawn(self, reasons: Reasons) -> None:
        seen = np.zeros(len(self._mix), np.int64)
        for block in blocks(len(reasons), reasons, self._keys, self._wanted):
            for part in np.flatnonzero(self.drawn < self.sizes):
                at = block.start + np.flatnonzero(self._wanted[block] & (self._keys[block]["part"] == part))
                undrawn = at[max(0, int(self.drawn[part] - seen[part])) :]
                reasons[undrawn] = REASONS.index("not_sampled")
                self._wanted[undrawn] = False
                seen[part] += len(at)
