"""Every reward by its name, one entry each: what it is, the keys that it needs, and how it values answers.

To add one: an entry here. All else reads it: the settings, their JSON schema, the trainers. `each` makes an entry of a
function of answer and reference.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.align import guides
from tasks.align.reward_model import reward_model
from tasks.align.users_code import Late, Raised, users_code
from tasks.bounds.patterns import searcher, usable
from tasks.core.errors import InputError
from tasks.core.paths import Paths

if TYPE_CHECKING:
    from tasks.align.settings import Reward, Settings

RewardFunction = Callable[..., list[float]]
"""Called with lists, an item an answer: prompts (token ids), completions (text), completion_ids, reference (text), id
(of the row)."""

SECONDS = 60.0
"""What a call of a user's function may take, unless the settings say otherwise."""

SHOWN = 200
"""Characters of an answer that a sentence shows."""


@dataclass(frozen=True)
class Kind:
    """One reward."""

    about: str
    """What an answer is worth, in a phrase."""
    make: "Callable[[Reward, str, Paths, Any], RewardFunction]"
    """The function that values answers, by the settings, their key for messages, the places and the tokenizer."""
    needs: tuple[str, ...] = ()
    """Keys of the settings that it needs; a reward that does not need one of them must not be given it."""
    check: "Callable[[Reward], None] | None" = None
    """Raises `ValueError` where the value of a key cannot be right."""
    look: "Callable[[Reward, str, Paths], Any] | None" = None
    """Raises `InputError` or `SettingsError` where what it names in data/guides is not there; called before a run
    starts, so nothing of the user's runs in it."""


def each(about: str, function: Callable[[str, str], float]) -> Kind:
    """A reward of one answer and its reference that asks nothing else."""

    def make(settings: "Reward", key: str, paths: Paths, tokenizer: Any) -> RewardFunction:
        def score(completions: list[str], reference: list[str], **rest: Any) -> list[float]:
            return [function(answer, expected) for answer, expected in zip(completions, reference, strict=True)]

        return score

    return Kind(about, make)


def reward_functions(settings: "Settings", paths: Paths, tokenizer: Any) -> list[RewardFunction]:
    """The functions for `settings.rewards`, in their order. Raises `InputError` where one cannot be had."""
    functions = []
    for index, reward in enumerate(settings.rewards):
        function = REWARDS[reward.kind].make(reward, f"align.rewards.{index}", paths, tokenizer)
        if settings.episodes.on:
            function = of_episodes(function)
        function.__name__ = f"{index}_{reward.kind}"  # by which trl logs it
        functions.append(function)
    return functions


def of_episodes(function: RewardFunction) -> RewardFunction:
    """`function` on what the model said in its last turn, behind the prompt with what the environment said first.

    `asked`, `last`: those, an item an episode; ids and text. `completion_ids` are of all turns, and replies.
    """

    def score(prompts: Any, completions: Any, asked: Any, last: Any, **rest: Any) -> list[float]:
        return function(prompts=asked, completions=last, **rest)

    return score


def check_rewards(settings: "Settings", paths: Paths) -> None:
    """Raise `InputError` or `SettingsError` where a function or a reward model is not there; nothing runs."""
    for index, reward in enumerate(settings.rewards):
        if look := REWARDS[reward.kind].look:
            look(reward, f"align.rewards.{index}.name", paths)


def _pattern(reward: "Reward", key: str, paths: Paths, tokenizer: Any) -> RewardFunction:
    search = searcher(reward.pattern or "", f"{key}.pattern")
    return lambda completions, **rest: [float(search(answer) is not None) for answer in completions]


def _environment(reward: "Reward", key: str, paths: Paths, tokenizer: Any) -> RewardFunction:
    def score(worth: list[float], **rest: Any) -> list[float]:
        return list(worth)

    return score


def _compiles(reward: "Reward") -> None:
    try:
        usable(reward.pattern or "")
    except ValueError as error:
        raise ValueError(f"the pattern cannot be used: {error}") from None


def _names_a_function(reward: "Reward") -> None:
    module, _, name = (reward.name or "").partition(":")
    if not (module and name.isidentifier()):
        raise ValueError("name must be file.py:function or package.module:function")


def _function(reward: "Reward", key: str, paths: Paths, tokenizer: Any) -> RewardFunction:
    user_function = guides.function(paths, reward.name or "", f"{key}.name")
    seconds = SECONDS if reward.seconds is None else reward.seconds

    def score_answers(prompts: Any, completions: Any, reference: Any, **rest: Any) -> list[float]:
        texts = tokenizer.batch_decode(prompts)
        scores = []
        for row, prompt, answer, expected in zip(rest["id"], texts, completions, reference, strict=True):
            where = f"for the row {row} with the answer {answer[:SHOWN]!r}"
            try:
                with users_code(seconds, memory=None):
                    value = user_function(prompt, answer, expected)
            except Late:
                raise InputError(
                    f"{key}: {reward.name} takes more than {seconds:g} seconds {where}; make it faster, or raise "
                    f"{key}.seconds."
                ) from None
            except Raised as error:
                raise InputError(f"{key}: {reward.name} fails {where}: {error}") from None
            if (number := _number(value)) is None:
                raise InputError(f"{key}: {reward.name} returns {value!r:.80} {where}; return a finite number.")
            scores.append(number)
        return scores

    return score_answers


def _number(value: Any) -> float | None:
    """`value` as a number, NumPy's and torch's included; None where it is none, NaN, or infinite."""
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


REWARDS = {
    "exact_match": each(
        "1 if the answer equals the reference, ignoring whitespace at both ends, otherwise 0",
        lambda answer, reference: float(answer.strip() == reference.strip()),
    ),
    "pattern": Kind("1 if `pattern` is found in the answer, otherwise 0", _pattern, ("pattern",), _compiles),
    "function": Kind(
        "the number that your function `name` returns",
        _function,
        ("name",),
        _names_a_function,
        lambda reward, key, paths: guides.check(paths, reward.name or "", key),
    ),
    "environment": Kind("what the get_reward of the environment returns at the end of the episode", _environment),
    "model": Kind(
        "the score of the reward model `name`",
        lambda reward, key, paths, tokenizer: reward_model(reward.name or "", key, paths, tokenizer),
        ("name",),
        look=lambda reward, key, paths: guides.model(paths, reward.name or "", key),
    ),
}
"""Rewards in the order in which they are listed."""
