"""Switches of turns: under whatever name and in whatever form, the labels are those of a mask made by hand."""

from typing import Any

import pytest

from tasks.clean.content import Unusable
from tasks.clean.settings import Columns
from tasks.clean.shapes import to_content
from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tests.tasks import tiny

OPEN = "<|im_start|>user\nstop {}<|im_end|>\n<|im_start|>assistant\n"
BAD, GOOD = "docker rm web<|im_end|>", "docker stop db<|im_end|>"
OFF = [
    ("loss", False), ("loss", 0), ("train", False), ("training", "false"), ("trainable", 0.0), ("train_on_turn", "0"),
    ("loss_mask", 0), ("masked", True), ("is_masked", 1), ("weight", 0), ("weight", "0"), ("weight", False),
    ("loss_weight", 0.0),
]  # fmt: skip


def dialogue(first: dict[str, Any], second: dict[str, Any], names: tuple[str, str] = ("role", "content")) -> Any:
    """Two questions with an answer each; what is given stands in the turns of the assistant."""
    role, content = names
    return [
        {role: "user", content: "stop web"},
        {role: "assistant", content: "docker rm web", **first},
        {role: "user", content: "stop db"},
        {role: "assistant", content: "docker stop db", **second},
    ]


def labels(value: dict[str, Any], columns: Columns | None = None) -> list[int]:
    """The labels that a record of a file ends in."""
    content, coder = to_content(value, columns=columns), tiny.tokenizer()
    templater = Templater(coder, Settings(), {coder.eos_token_id}, 10_000, None)
    (outcome,) = templater.outcomes([{"id": "x", "messages": content.messages, "weight": content.weight}])
    assert outcome.reason is None
    return [int(label) for label in outcome.sequences[0].labels]


def by_hand(first: bool, second: bool) -> list[int]:
    """The same, made piece by piece: prompts and what is switched off have -100."""
    coder = tiny.tokenizer()
    mask: list[int] = []
    for text, trained in ((OPEN.format("web"), False), (BAD, first), ("\n" + OPEN.format("db"), False), (GOOD, second)):
        ids = coder(text, add_special_tokens=False)["input_ids"]
        mask += ids if trained else [-100] * len(ids)
    return [*mask, -100]  # the line break behind the last turn


@pytest.mark.parametrize(("key", "value"), OFF)
def test_a_turn_that_is_switched_off_has_no_labels(key: str, value: Any) -> None:
    on = {"masked": 0, "is_masked": 0}.get(key, 1)
    assert labels({"messages": dialogue({key: value}, {})}) == by_hand(False, True)
    assert labels({"messages": dialogue({key: on}, {key: value})}) == by_hand(True, False)
    assert labels({"messages": dialogue({key: None}, {key: on})}) == by_hand(True, True)
    assert labels({"conversations": dialogue({key: value}, {key: None}, ("from", "value"))}) == by_hand(False, True)


def test_keys_that_the_settings_name_switch_too() -> None:
    turns = dialogue({"mask": 1}, {"mask": 0})
    assert labels({"messages": turns}, Columns(masked="mask")) == by_hand(False, True)
    assert labels({"messages": turns}, Columns(trained="mask")) == by_hand(True, False)
    assert labels({"messages": turns}, Columns(ignored=("mask",))) == by_hand(True, True)
    assert labels({"messages": dialogue({"loss": False}, {})}, Columns(ignored=("loss",))) == by_hand(True, True)


@pytest.mark.parametrize(
    "switches", [{"loss": 2.31}, {"train": "later"}, {"loss_mask": [0, 1]}, {"loss": True, "masked": True}]
)
def test_switches_that_say_nothing_or_contradict_each_other_are_refused(switches: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="bad_switch"):
        to_content({"messages": dialogue(switches, {})})
