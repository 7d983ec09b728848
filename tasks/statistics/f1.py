"""Macro F1 and micro F1, which are no means over rows: their intervals, and two models compared on the same rows.

F1 = 2 right / (rows of the class + rows answered so). Macro F1 is its mean over classes, so every class counts alike,
however rare; classes without a row are left out. Micro F1 is that of all classes together. What is drawn are rows, as
for other scores; F1 is worked out anew of each draw.

Shapes: `N` rows, `K` classes, `U` kinds of rows that are alike, `R` draws, `S` sets of classes. Where a row has one
class `truth` is (N,), from 0 to K - 1, and answers are (N,), from 0 to K, where K is an answer that is no class. Where
it has any number both are (N,), from 0 to S - 1, and `classes` (K, S) says which classes are in each set.

>>> f1([0, 0, 1, 1], [0, 1, 1, 2], 2)["value"]
0.5833
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import sqrt
from typing import Any, Literal

import numpy as np

from tasks.statistics.intervals import CELLS, RESAMPLES, SEED, wilson
from tasks.statistics.paired import detectable, rows_that_differ

DRAWS = 2000
"""Draws of a standard error: it is known to 2 % then."""

Average = Literal["macro", "micro"]


def numbered(truth: Sequence[str], *answers: Sequence[str | None]) -> tuple[Any, ...]:
    """`truth`, each of `answers` and how many classes `truth` has, with numbers for the names.

    An answer that is no class of `truth` is none at all: F1 is of classes that have rows.

    >>> numbered(["a", "b"], ["b", None])
    (array([0, 1]), array([1, 2]), 2)
    """
    numbers = {name: number for number, name in enumerate(sorted(set(truth)))}
    columns = [
        np.array([len(numbers) if name is None else numbers.get(name, len(numbers)) for name in names])
        for names in (truth, *answers)
    ]
    return (*columns, len(numbers))


def numbered_sets(truth: Sequence[Iterable[str] | None], *answers: Sequence[Iterable[str] | None]) -> tuple[Any, ...]:
    """The same of rows with any number of classes each; the last is (K, S), with a line for each name there is.

    What is no answer at all (None) counts as one without a class, but is another set.

    >>> truth, answer, members = numbered_sets([{"a", "b"}, set()], [{"b"}, None])
    >>> truth, answer, members.tolist()
    (array([0, 1]), array([2, 3]), [[1, 0, 0, 0], [1, 0, 1, 0]])
    """
    columns = [[None if row is None else frozenset(row) for row in rows] for rows in (truth, *answers)]
    sets = list(dict.fromkeys(row for rows in columns for row in rows))
    places = {row: number for number, row in enumerate(sets)}
    names = sorted({name for row in sets for name in row or ()})
    members = np.array([[int(name in (row or ())) for row in sets] for name in names]).reshape(len(names), len(sets))
    return (*(np.array([places[row] for row in rows]) for rows in columns), members)


def score(truth: Any, answers: Any, classes: Any, *, average: Average = "macro") -> float:
    """F1 of `answers`, from 0 to 1."""
    cells = _Cells(truth, [answers], classes, average)
    return float(cells.f1(cells.rows[None], 0)[0])


def f1(
    truth: Any, answers: Any, classes: Any, *, average: Average = "macro", seed: int = SEED
) -> dict[str, float | int]:
    """F1 with its 95 % interval, to 4 decimals.

    The interval is Wilson's, for as many rows as the bootstrap's standard error speaks of (as for samples that are not
    simple, Dean and Pagano 2015, Journal of Survey Statistics and Methodology 3:484), around the value less the
    bootstrap's bias. Percentiles cover too little where classes have few rows, or nearly all answers are right.
    """
    cells = _Cells(truth, [answers], classes, average)
    value = float(cells.f1(cells.rows[None], 0)[0])
    draws = np.concatenate([cells.f1(drawn, 0) for drawn in cells.drawn(DRAWS, seed)])
    middle = min(1.0, max(0.0, 2 * value - float(draws.mean())))
    error, n = float(draws.std()), cells.n
    rows = middle * (1 - middle) / error**2 if error > 1e-9 and 0 < middle < 1 else n
    low, high = wilson(middle, rows)
    low, high = min(low, value), max(high, value)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def compare_f1(
    truth: Any,
    first: Any,
    second: Any,
    classes: Any,
    *,
    level: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    average: Average = "macro",
) -> dict[str, Any]:
    """What the answers `first` have over `second` in F1, with the keys of `tasks.statistics.paired.compare`.

    The interval is the bootstrap's standard error around the difference less its bias, with a row won and a row lost
    added, without which two models that answer alike would be alike for certain. `p`: how often as large a difference
    comes about where each row's two answers are swapped at random (approximate randomisation, Yeh 2000, COLING 947).
    """
    from scipy.special import stdtrit

    cells = _Cells(truth, [first, second], classes, average)
    n, now = cells.n, cells.rows[None]
    difference = float(cells.f1(now, 0)[0] - cells.f1(now, 1)[0])
    draws = np.concatenate(
        [cells.f1(drawn, 0) - cells.f1(drawn, 1) for drawn in cells.drawn(min(DRAWS, resamples), seed)]
    )
    error = sqrt(float(draws.var()) + 2 / (n + 2) ** 2)
    middle, half = 2 * difference - float(draws.mean()), error * float(stdtrit(max(1, n - 1), 0.975))
    right = [np.asarray(answers) == np.asarray(truth) for answers in (first, second)]
    wins, losses = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return {
        "n": n,
        "difference": round(difference, 4),
        "low": round(max(-1.0, min(difference, middle - half)), 4),
        "high": round(min(1.0, max(difference, middle + half)), 4),
        "p": float(f"{cells.swapped_p(difference, resamples, seed):.4g}"),
        "test": "answers swapped at random",
        "wins": wins,
        "losses": losses,
        "ties": n - wins - losses,
        "dz": None,
        "spread": round(error * sqrt(n), 4),
        "binary": False,
        **rows_that_differ(cells.unlike, n),
        "detectable": round(detectable(error * sqrt(n), n, level), 4),
    }


class _Cells:
    """Rows that are alike, of the same classes and with the same answers, counted."""

    def __init__(self, truth: Any, answers: list[Any], classes: Any, average: Average) -> None:
        from scipy.sparse import csr_matrix, eye_array

        kinds, self.rows = np.unique(np.stack([truth, *answers]).astype(np.int64), axis=1, return_counts=True)
        self.n = int(self.rows.sum())
        self._answers = kinds[1:]
        members = eye_array(classes, classes + 1) if isinstance(classes, int) else classes
        self._members = csr_matrix(members, dtype=float)  # (K, S): which classes each number stands for
        self._mean = _mean_f1 if average == "macro" else _pooled_f1
        of_truth = self._members[:, kinds[0]]  # (K, U)
        self._support = _summed(of_truth)
        self._answered = [_summed(self._members[:, kind]) for kind in self._answers]
        self._right = [_summed(self._members[:, kind].multiply(of_truth)) for kind in self._answers]

        self.unlike = int(self.rows[self._answers[0] != self._answers[-1]].sum())
        """Rows with two answers that differ."""

    def f1(self, rows: Any, model: int) -> Any:
        """F1 (R,) of one of the answers where there are so many `rows` (R, U) of each kind."""
        return self._mean(self._right[model](rows), self._support(rows), self._answered[model](rows))

    def drawn(self, resamples: int, seed: int) -> Iterator[Any]:
        """Rows (R, U) drawn with replacement, some of `resamples` draws at a time."""
        draw = np.random.default_rng(seed)
        for size in self._parts(resamples):
            yield draw.multinomial(self.n, self.rows / self.n, size)

    def swapped_p(self, difference: float, resamples: int, seed: int) -> float:
        """p of the difference of the two answers, by swapping those of each row at random."""
        unlike = self._answers[0] != self._answers[1]
        if not unlike.any():
            return 1.0
        draw, most, now = np.random.default_rng(seed), 0, self.rows[None]
        support = self._support(now)
        counted = [(self._right[model](now), self._answered[model](now)) for model in (0, 1)]
        for size in self._parts(resamples):
            moved = draw.binomial(np.where(unlike, self.rows, 0), 0.5, (size, len(self.rows)))
            right = self._right[1](moved) - self._right[0](moved)
            answered = self._answered[1](moved) - self._answered[0](moved)
            one = self._mean(counted[0][0] + right, support, counted[0][1] + answered)
            two = self._mean(counted[1][0] - right, support, counted[1][1] - answered)
            most += int((np.abs(one - two) >= abs(difference) * (1 - 1e-9)).sum())
        return (most + 1) / (resamples + 1)

    def _parts(self, resamples: int) -> Iterator[int]:
        size = max(1, CELLS // max(len(self.rows), self._members.shape[0]))
        for start in range(0, resamples, size):
            yield min(size, resamples - start)


def _summed(of_kinds: Any) -> Callable[[Any], Any]:
    """A function of rows (R, U) that sums those of each class (R, K); `of_kinds` (K, U): which classes a kind has."""
    return lambda rows: np.asarray(of_kinds @ rows.T, float).T


def _mean_f1(right: Any, support: Any, answered: Any) -> Any:
    """The mean over the classes that have rows; all are (R, K)."""
    scores = np.where(support > 0, 2 * right / np.maximum(support + answered, 1), 0.0)
    return scores.sum(1) / np.maximum((support > 0).sum(1), 1)


def _pooled_f1(right: Any, support: Any, answered: Any) -> Any:
    """F1 of all classes together, 0 where there is nothing to find and nothing was; all are (R, K)."""
    return 2 * right.sum(1) / np.maximum(support.sum(1) + answered.sum(1), 1)
