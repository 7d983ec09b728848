"""The trials of a sweep: which values of params.yaml each gets, in a grid, drawn at random, or proposed by Optuna."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tasks.core.errors import MachineError, SettingsError
from tasks.core.yaml_files import parse

Method = Literal["grid", "random", "optuna"]
Values = dict[str, Any]
"""Dotted key of params.yaml -> value."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; whole ones where both are, by their logarithm where they span a decade."""

    low: float
    high: float

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def logarithmic(self) -> bool:
        return self.low > 0 and self.high / self.low >= 10

    def draw(self, chance: random.Random) -> float:
        if self.logarithmic:
            value = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = chance.uniform(self.low, self.high)
        return round(value) if self.whole else float(f"{value:.3g}")


Space = Mapping[str, list[Any] | Range]


class Trials(Protocol):
    """Proposes values, and may learn from what came of them."""

    def propose(self) -> Values | None:
        """The values of the next trial; None when there are no more."""

    def tell(self, values: Values, score: float | None) -> None:
        """What came of a trial; None where it failed or was stopped."""


def space(assignments: list[str]) -> dict[str, list[Any] | Range]:
    """`train.learning_rate=1e-4,2e-4` and `train.lora.r=4..64` as values to choose from."""
    choices: dict[str, list[Any] | Range] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip() or not text.strip():
            raise SettingsError(f"{assignment}: expected KEY=VALUE,VALUE,... or KEY=LOW..HIGH.")
        low, dots, high = text.partition("..") if "/" not in text else ("", "", "")  # ../bases/a is a folder
        try:
            choices[key] = Range(_number(low), _number(high)) if dots else list(parse(f"[{text}]", "safe"))
        except ValueError as error:
            raise SettingsError(f"{assignment}: {' '.join(str(error).split())}") from None
    return choices


def trials(method: Method, choices: Space, count: int, seed: int, maximize: bool) -> Trials:
    """The trials of a sweep over `choices`; `count` of them, except in a grid, which has as many as it has."""
    if method == "grid":
        if ranges := [key for key, choice in choices.items() if isinstance(choice, Range)]:
            raise SettingsError(f"{', '.join(ranges)}: a grid needs values; for ranges, add --random or --optuna.")
        return _Listed(iter(_grid(choices)))
    if method == "random":
        return _Listed(itertools.islice(_draws(choices, random.Random(seed)), count))
    return _Optuna(choices, count, seed, maximize)


def foreseen(method: Method, choices: Space, count: int, seed: int) -> Iterator[Values]:
    """The values of all trials that are known before the first one ends; where Optuna proposes them, a first one."""
    if method == "optuna":
        yield {key: choice.low if isinstance(choice, Range) else choice[0] for key, choice in choices.items()}
        return
    listed = trials(method, choices, count, seed, maximize=True)
    while (values := listed.propose()) is not None:
        yield values


class _Listed:
    def __init__(self, values: Iterator[Values]) -> None:
        self._values = values

    def propose(self) -> Values | None:
        return next(self._values, None)

    def tell(self, values: Values, score: float | None) -> None:
        """Nothing to learn."""


class _Optuna:
    def __init__(self, choices: Space, count: int, seed: int, maximize: bool) -> None:
        try:
            import optuna
        except ImportError:
            raise MachineError("Optuna is not installed; run: pip install 'temper[optuna]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")
        self._choices, self._left = choices, count
        self._open: list[tuple[Values, Any]] = []

    def propose(self) -> Values | None:
        if self._left == 0:
            return None
        self._left -= 1
        trial = self._study.ask()
        values = {key: _suggested(trial, key, choice) for key, choice in self._choices.items()}
        self._open.append((values, trial))
        return values

    def tell(self, values: Values, score: float | None) -> None:
        position = next(index for index, (mine, _) in enumerate(self._open) if mine == values)
        _, trial = self._open.pop(position)
        if score is None:
            from optuna.trial import TrialState

            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, score)


def _suggested(trial: Any, key: str, choice: list[Any] | Range) -> Any:
    if isinstance(choice, list):
        return trial.suggest_categorical(key, choice)
    suggest = trial.suggest_int if choice.whole else trial.suggest_float
    return suggest(key, choice.low, choice.high, log=choice.logarithmic)


def _grid(choices: Space) -> Iterator[Values]:
    lists = [choice for choice in choices.values() if isinstance(choice, list)]
    for values in itertools.product(*lists):
        yield dict(zip(choices, values, strict=True))


def _draws(choices: Space, chance: random.Random) -> Iterator[Values]:
    while True:
        yield {
            key: choice.draw(chance) if isinstance(choice, Range) else chance.choice(choice)
            for key, choice in choices.items()
        }


def _number(text: str) -> float:
    value = parse(text, "safe")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"'{text.strip()}' is not a number")
    return value
