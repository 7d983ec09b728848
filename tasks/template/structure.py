"""What all dialogues of one markup have in common, whatever their texts: which turns are trained, and what is wrong."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tasks.rows.canonical import Message
from tasks.template.markup import Markup, Turn
from tasks.template.settings import Trained
from tasks.template.turn_keys import LOOKED_AT
from tasks.template.unslotted_text import call_and_speaker_names

SPEAKERS = ("assistant", "system", "developer")
"""Roles whose texts hold tags for what they are; those of users and tools are anybody's."""


@dataclass(frozen=True)
class Structure:
    """A dialogue without its texts."""

    trained: tuple[Turn, ...]
    """Turns with a loss."""
    wanted: tuple[int, ...]
    """Numbers of the messages that are to have one."""
    called: tuple[str, ...]
    """Names of what is called, which have to stand in the text."""
    spoken: tuple[int, ...]
    """Parts of the markup that are texts of `SPEAKERS`."""
    keyed: bool
    """Whether a message has keys that no markup has a slot for."""
    problems: Counter[str]
    """Slugs of what is wrong with each of them."""
    unread: str | None
    """The first weight that has no effect: on whose turn."""


def structure(
    markup: Markup,
    messages: list[Message],
    weights: list[Any],
    completion: int | None,
    train_on: Trained,
    controls: re.Pattern[str],
) -> Structure:
    """The structure of dialogues that `markup` fits, which have the `weights`; see `DialogueRenderer.render`.

    `controls` finds control tokens.
    """
    wanted = tuple(
        number
        for number, message in enumerate(messages)
        if message["role"] == "assistant" and is_trained(number, messages, weights, completion, train_on)
    )
    trained = tuple(turn for turn in markup.turns if turn.message in wanted)
    problems: Counter[str] = Counter()
    if tuple(turn.message for turn in trained) != wanted or not wanted or not markup.twice.isdisjoint(wanted):
        problems["supervision"] += 1
    ignored = [
        message["role"]
        for message, weight in zip(messages, weights, strict=True)
        if weight == 1 and message["role"] != "assistant" and train_on != "all"
    ]
    problems["unread_key"] += len(ignored)
    unread = f"weight 1 on the {ignored[0]}, which is trained only with template.train_on: all" if ignored else None
    called, named = call_and_speaker_names(messages)
    problems["scaffold"] += any(controls.search(name) for name in (*called, *named))
    for turn in trained:
        problems["prefix"] += not turn.prefix
        problems["stop"] += not turn.ended
    spoken = tuple(number for number, of in markup.of_messages if messages[of]["role"] in SPEAKERS)
    keyed = any(key not in LOOKED_AT for message in messages for key in message)
    return Structure(trained, wanted, tuple(called), spoken, keyed, +problems, unread)


def is_trained(
    number: int, messages: list[Message], weights: list[Any], completion: int | None, train_on: Trained
) -> bool:
    """Whether the message of that number is to have a loss, if it is the assistant's."""
    if weights[number] == 0:
        return False
    if completion is not None:
        return number >= completion
    if train_on == "last":
        return number == max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    if train_on == "completion":
        return number > max((index for index, message in enumerate(messages) if message["role"] == "user"), default=-1)
    return True
