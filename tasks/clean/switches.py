"""Switches of single turns, by which data sets say what is trained: in one form, a turn's `weight` of 0 or 1.

Trainers have a name each for it: `loss` (ms-swift, ChatGLM), `train` and `training` (axolotl), `weight` (OpenAI,
Mistral), `masked` (torchtune).
"""

from typing import Any

from tasks.clean.content import Unusable
from tasks.clean.flags import as_flag, as_number
from tasks.clean.settings import Columns

TRAINED = frozenset(
    {
        "loss", "train", "training", "trained", "trainable", "is_trained", "is_trainable", "train_on", "train_on_turn",
        "compute_loss", "calculate_loss", "has_loss", "with_loss", "loss_mask",
    }
)  # fmt: skip
"""Keys of a turn that are true where it is trained."""

MASKED = frozenset({"masked", "is_masked", "no_loss", "ignore_loss", "without_loss"})
"""Keys of a turn that are true where it is not trained."""

WEIGHTS = ("weight", "loss_weight")
"""Keys of a turn with how much it counts; only 0 and 1 can be honoured, and the stage `template` refuses others."""

_SWITCHES: frozenset[str | None] = TRAINED | MASKED | frozenset(WEIGHTS)

UNCLEAR = frozenset({"mask", "loss_masks", "training_detail", "train_detail", "weights"})
"""Keys of a turn that switch its loss, though it is not certain how."""


def prepared(value: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """A record without what `columns.ignored` names, with each switch of a turn as its `weight`.

    Raises `Unusable`: `bad_switch` for a switch that is neither on nor off, or for two that contradict each other.
    """
    ignored = frozenset(columns.ignored)
    special = _SWITCHES.union(ignored, (columns.trained, columns.masked))
    return {name: _turns(kept, columns, ignored, special) for name, kept in value.items() if name not in ignored}


def _turns(value: Any, columns: Columns, ignored: frozenset[str], special: frozenset[str | None]) -> Any:
    """`value` with the switches of its turns in one form, where it is one turn or a list of them.

    `special`: keys without which a turn is as it is to be.
    """
    if isinstance(value, list):
        return [
            _turn(turn, columns, ignored) if _is_turn(turn) and not special.isdisjoint(turn) else turn for turn in value
        ]
    return _turn(value, columns, ignored) if _is_turn(value) and not special.isdisjoint(value) else value


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and not _SPEAKER.isdisjoint(value) and not _SPEECH.isdisjoint(value)


_SPEAKER = frozenset({"role", "from"})
_SPEECH = frozenset({"content", "value", "tool_calls", "function_call"})


def _turn(turn: dict[str, Any], columns: Columns, ignored: frozenset[str]) -> dict[str, Any]:
    weights: set[float] = set()
    new: dict[str, Any] = {}
    for key, kept in turn.items():
        if key in ignored:
            continue
        weight = None if kept is None or kept == "" else _weight(key, kept, columns)
        if weight is not None:
            weights.add(weight)
        elif not _is_switch(key, columns):
            new[key] = kept
    if len(weights) > 1:
        raise Unusable("bad_switch")
    return {**new, "weight": _plain(weights.pop())} if weights else new


def _weight(key: str, value: Any, columns: Columns) -> float | None:
    """What the value of a key says of the turn's weight; None where the key is no switch."""
    if key in WEIGHTS:
        weight = as_number(value)
    elif key == columns.trained or (key in TRAINED and key != columns.masked):
        flag = as_flag(value)
        weight = None if flag is None else float(flag)
    elif key == columns.masked or key in MASKED:
        flag = as_flag(value)
        weight = None if flag is None else float(not flag)
    else:
        return None
    if weight is None:
        raise Unusable("bad_switch")
    return weight


def _is_switch(key: str, columns: Columns) -> bool:
    return key in WEIGHTS or key in TRAINED or key in MASKED or key in (columns.trained, columns.masked)


def _plain(weight: float) -> float:
    """A whole number as such, as it stands in the canonical row."""
    return int(weight) if weight.is_integer() else weight
