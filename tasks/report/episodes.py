"""What the report says of episodes of several turns: a sentence, and the rows of a table."""

from typing import Any

from tasks.core.numbers import counted, listed, shown

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
            f"was {shown(before['reward'])} before the first step and {shown(after['reward'])} after the last one."
        )
    first, *_, last = [*parts.values(), *parts.values()]
    return (
        f"The mean reward of an episode in training was {shown(first['reward'])} in {first['name']} and "
        f"{shown(last['reward'])} in {last['name']}; no rows were held out."
    )


def table(episodes: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a part of the training, and for what was held out: its numbers, and how episodes ended in words."""
    return [{**part, "ended": listed(part["ends"])} for part in episodes.get("parts", ())]


def ends(episodes: dict[str, Any]) -> str:
    """What the ways to end mean that came up."""
    seen = {name for part in episodes.get("parts", ()) for name in part["ends"]}
    return "; ".join(f"{name}: {meaning}" for name, meaning in episodes.get("ends", {}).items() if name in seen)
