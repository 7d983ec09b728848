"""What the report says of episodes of several turns: a sentence, and the rows of a table."""

from typing import Any

from tasks.core.numbers import counted, listed, shown, signed
from tasks.statistics.p_value import describe_p_value

BEFORE, AFTER = "held out, before", "held out, after"


def sentence(episodes: dict[str, Any]) -> str:
    """How much better episodes went at the end; "" where there were none.

    `episodes`: `episodes.json` of the stage align.
    """
    parts = {part["name"]: part for part in episodes.get("parts", ())}
    if not parts:
        return ""
    if BEFORE in parts and AFTER in parts:
        before, after = parts[BEFORE], parts[AFTER]
        return (
            f"On {counted(before['episodes'], 'held-out rows')}, with greedy decoding, the mean reward of an episode "
            f"was {shown(before['reward'])} before the first step and {shown(after['reward'])} after the last "
            f"one{_change(episodes.get('change'))}."
        )
    first, *_, last = [*parts.values(), *parts.values()]
    return (
        f"The mean reward of an episode in training was {shown(first['reward'])} in {first['name']} and "
        f"{shown(last['reward'])} in {last['name']}; no rows were held out."
    )


def _change(change: dict[str, Any] | None) -> str:
    """By how much, on how many of the rows, and whether it may be chance; "" where the ledger is older than that."""
    if not change:
        return ""
    chance = ". The interval holds 0, so this may be chance" if change["low"] <= 0 <= change["high"] else ""
    return (
        f": {signed(change['difference'])} (95 % interval {shown(change['low'])} to {shown(change['high'])}, "
        f"{describe_p_value(change['p'])}). The model did better on {counted(change['wins'], 'rows')}, worse on "
        f"{counted(change['losses'], 'rows')}, and as well on {counted(change['ties'], 'rows')}{chance}"
    )


def table(episodes: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a part of the training, and for what was held out: its numbers, and how episodes ended in words."""
    return [{**part, "ended": listed(part["ends"])} for part in episodes.get("parts", ())]


def ends(episodes: dict[str, Any]) -> str:
    """What the ways to end mean that came up."""
    seen = {name for part in episodes.get("parts", ()) for name in part["ends"]}
    return "; ".join(f"{name}: {meaning}" for name, meaning in episodes.get("ends", {}).items() if name in seen)
