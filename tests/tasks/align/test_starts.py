"""What alignment cannot start from is known from the sections train and align."""

from typing import Any

import pytest

from tasks.align import starts
from tasks.align.settings import Settings
from tasks.core.errors import SettingsError
from tasks.train.settings import Settings as Train


def launch(strategy: str) -> dict[str, Any]:
    return {"launch": {"processes": 2, "strategy": strategy}}


@pytest.mark.parametrize(
    ("align", "train", "message"),
    [
        ({"objective": "dpo"}, {"enabled": False}, r"align\.start is train, but train\.enabled is false"),
        ({"objective": "reward"}, {"enabled": False}, r"align\.start is train, but train\.enabled is false"),
        (
            {"objective": "dpo", **launch("fsdp2")},
            {"method": "full"},
            "dpo compares the whole model with a second copy",
        ),
        (
            {"objective": "kto", **launch("zero2")},
            {"method": "freeze"},
            "kto compares the whole model with a second copy",
        ),
        (
            {"objective": "kto", "start": "base", "method": "full", **launch("zero3")},
            {},
            "kto compares the whole model",
        ),
        ({"objective": "cpo", **launch("fsdp2")}, {"method": "qlora"}, r"a quantised base \(nf4\)"),
        ({"objective": "dpo", **launch("zero2")}, {"quantization": "int8"}, r"a quantised base \(int8\)"),
        ({"objective": "reward"}, {"method": "prompt_tuning"}, r"train\.method prompt_tuning cannot be merged"),
        ({"objective": "reward"}, {"method": "shadow"}, r"train\.method shadow cannot be merged"),
    ],
)
def test_what_cannot_be_started_from(align: dict[str, Any], train: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        starts.check(Settings(**align), Train(**train))


@pytest.mark.parametrize(
    ("objective", "splits", "message"),
    [
        ("distill", [], r"distill\.splits does not include train"),
        ("off", ["train"], r"does not use the teacher's answers; set align\.objective to distill"),
        ("dpo", ["train", "validation"], r"distill\.splits is \[train, validation\], but align\.objective dpo"),
    ],
)
def test_who_asks_a_teacher_learns_from_it_and_who_learns_asks(objective: str, splits: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        starts.check_distilled(Settings(objective=objective), splits)
    starts.check_distilled(Settings(objective="distill"), ["train"])
    starts.check_distilled(Settings(objective="dpo"), [])


@pytest.mark.parametrize(
    ("align", "train"),
    [
        ({"objective": "off", **launch("fsdp2")}, {"enabled": False}),
        ({"objective": "dpo", "start": "base"}, {"enabled": False}),
        ({"objective": "dpo", **launch("ddp")}, {"method": "full"}),
        ({"objective": "dpo", **launch("ddp")}, {"method": "qlora"}),
        ({"objective": "dpo", **launch("fsdp2")}, {}),
        ({"objective": "orpo", **launch("fsdp2")}, {"method": "full"}),
        ({"objective": "dpo", "start": "base", **launch("fsdp2")}, {"method": "full"}),
        ({"objective": "reward"}, {"method": "full"}),
        ({"objective": "reward", "start": "base"}, {"method": "prompt_tuning"}),
    ],
)
def test_what_can_be_started_from(align: dict[str, Any], train: dict[str, Any]) -> None:
    starts.check(Settings(**align), Train(**train))
