"""The lines of the card that are the same training in plain trl come to the same losses, run as they stand there."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.align import stage as align
from tasks.report.plain_trl import plain_trainings
from tasks.report.settings import Settings
from tasks.report.stage import run
from tasks.template import stage as template
from tasks.train import stage as train
from tests.flows.project import ROOT
from tests.tasks import tiny
from tests.tasks.align.test_align import preferences
from tests.tasks.report.finished_run import finished

SHORT: dict[str, Any] = {
    "steps": 4, "batch_size": 4, "learning_rate": 1e-2, "warmup_steps": 1, "threads": 1, "logging_steps": 1,
    "dtype": "float32",
}  # fmt: skip

Case = tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]
"""Settings of template, of train, and of align, which is off where they are None."""

CASES: dict[str, Case] = {
    "lora, then dpo on its adapter": (
        {},
        {"lora": {"r": 2, "alpha": 4}},
        {"objective": "dpo", "arguments": {"beta": 0.2, "loss_type": "robust", "label_smoothing": 0.1}},
    ),
}

MORE: dict[str, Case] = {
    "full on packs, then dpo on the model": (
        {"packing": True, "max_length": 64},
        {"method": "full", "batch_size": 2, "gradient_accumulation": 2, "optimizer": "adafactor", "weight_decay": 0.1},
        {"objective": "dpo", "scheduler": "linear", "gradient_accumulation": 2},
    ),
    "epochs of padded rows, then dpo from the base": (
        {},
        {
            "steps": None, "epochs": 1.5, "padding_free": False, "scheduler": "constant_with_warmup", "seed": 7,
            "lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]}, "method": "rslora",
        },
        {"objective": "dpo", "start": "base", "lora": {"r": 2}, "max_grad_norm": 0.5},
    ),
    "lora on packs": ({"packing": True, "max_length": 64}, {"batch_size": 3}, None),
    "dropout": ({}, {"lora": {"r": 2, "dropout": 0.3}}, None),
    "noise": ({}, {"neftune": 5.0}, None),
    "every token": ({"train_on": "all"}, {"method": "full", "attention": "eager", "optimizer": "sgd"}, None),
    "arguments": (
        {},
        {"arguments": {"label_smoothing_factor": 0.1, "lr_scheduler_kwargs": {"num_cycles": 0.3}}},
        None,
    ),
    **{
        method: ({}, {"method": method}, None)
        for method in ("dora", "pissa", "ia3", "vera", "oft", "prompt_tuning", "ln_tuning")
    },
}  # fmt: skip

RUN = """
import json
import os
import sys

import tasks.core.spared  # no more of temper than a faster import

losses = {}
for name, folder, code in json.load(sys.stdin):
    os.chdir(folder)
    scope = {}
    exec(compile(code, name, "exec"), scope)
    losses[name] = {step["step"]: step["loss"] for step in scope["trainer"].state.log_history if "loss" in step}
print("LOSSES", json.dumps(losses))
"""


def lines(card: str) -> dict[str, str]:
    """Python in the card by stage."""
    blocks = re.findall(r"^The stage (\w+):\n\n```python\n(.*?)\n```$", card, re.DOTALL | re.MULTILINE)
    return dict(blocks)


def logged(folder: Path) -> dict[int, float]:
    with (folder / "loss.csv").open() as file:
        return {int(point["step"]): float(point["loss"]) for point in csv.DictReader(file) if point["loss"]}


def compare(root: Path, cases: dict[str, Case]) -> None:
    """Train by temper, remove the lines from the cards, run them in a process of their own, and compare each loss."""
    expected, codes = {}, []
    for number, (name, (rows, tuned, aligned)) in enumerate(cases.items()):
        place = root / str(number)
        tiny.project(place, method="none")
        paths = finished(place)  # a run written by hand, of which these stages are carried out
        template.run(template.Settings(**rows), paths)
        shutil.rmtree(paths.fitted)
        train.run(train.Settings(**{**SHORT, **tuned}), paths)
        folders = {"train": paths.fitted}
        if aligned is not None:
            preferences(paths)
            align.run(align.Settings(**{**SHORT, **aligned}), paths)
            folders["align"] = paths.aligned
        run(Settings(), paths)
        blocks = lines(paths.card.read_text())
        assert list(blocks) == list(folders)
        for stage, folder in folders.items():
            expected[f"{name}: {stage}"] = logged(folder)
            codes.append((f"{name}: {stage}", str(place), blocks[stage]))
    done = subprocess.run(
        [sys.executable, "-c", RUN], env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=json.dumps(codes), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOSSES ")]
    losses = {key: {int(step): loss for step, loss in steps.items()} for key, steps in json.loads(line[7:]).items()}
    assert losses.keys() == expected.keys()
    for key, steps in expected.items():
        assert losses[key] == pytest.approx(steps, rel=5e-6), key


@pytest.mark.timeout(600)
def test_the_lines_of_the_card_come_to_the_losses_of_the_run(tmp_path: Path) -> None:
    compare(tmp_path, CASES)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_so_do_those_of_other_methods_and_arguments(tmp_path: Path) -> None:
    compare(tmp_path, MORE)


FACTS: dict[str, Any] = {
    "method": "lora",
    "changes": {
        "arguments": {"max_steps": 7, "lr_scheduler_kwargs": {"min_lr": 1e-05}},
        "peft": {"kind": "LoraConfig", "fields": {"r": 4, "target_modules": ["q_proj", "v_proj"]}},
    },
}
HUB = {"kind": "hub", "location": "org/model", "revision": "ab" * 20}


def test_lines_hold_what_differs_and_name_the_base() -> None:
    (plain,) = plain_trainings(HUB, {"train": {"lora.target_modules": "all-linear"}}, {"train": FACTS}, packed=False)
    assert plain.reasons == []
    text = " ".join(plain.code.split())
    assert f'from_pretrained("org/model", revision="{"ab" * 20}", dtype="float32")' in text
    assert 'SFTConfig( output_dir="plain_trl", max_steps=7, lr_scheduler_kwargs={"min_lr": 1e-05}, )' in text
    assert 'LoraConfig( r=4, target_modules="all-linear", )' in text
    assert len(plain.code.splitlines()) <= 20
    assert plain_trainings(HUB, {}, {"train": {"method": "lora"}}, packed=False) == [], "of an older version"


@pytest.mark.parametrize(
    ("settings", "facts", "reason"),
    [
        ({"optimizer": "muon"}, {}, "Muon is temper's own"),
        ({"group_by_length": True}, {}, "its own order"),
        ({"patience": 2}, {}, "validation loss over all tokens"),
        ({"launch.processes": 2}, {}, "several processes"),
        ({"lora.b_ratio": 16.0}, {}, "different learning rates"),
        ({"weights": "bfloat16"}, {"method": "full", "changes": {"arguments": {}, "peft": None}}, "own optimiser"),
        ({}, {"quantization": {"scheme": "nf4"}}, "on a quantised base"),
        ({}, {"method": "eva"}, "activations"),
    ],
)
def test_where_plain_trl_has_no_counterpart_the_reason_stands(
    settings: dict[str, Any], facts: dict[str, Any], reason: str
) -> None:
    (plain,) = plain_trainings(HUB, {"train": settings}, {"train": {**FACTS, **facts}}, packed=False)
    assert plain.code == "" and len(plain.reasons) == 1 and reason in plain.reasons[0]


def test_what_align_goes_on_from_counts_too() -> None:
    trainings: dict[str, dict[str, Any]] = {"train": {**FACTS, "quantization": {"scheme": "nf4"}}, "align": FACTS}
    settings: dict[str, dict[str, Any]] = {"align": {"objective": "dpo", "start": "train", "lora.b_ratio": None}}
    assert [len(plain.reasons) for plain in plain_trainings(HUB, settings, trainings, packed=False)] == [1, 1]
    settings["align"]["objective"] = "grpo"
    settings["template"] = {"new_tokens": ["<|im_start|>"]}
    plain = plain_trainings(HUB, settings, {"align": FACTS}, packed=False)[0]
    assert "grpo" in plain.reasons[0] and "new tokens" in plain.reasons[1]
