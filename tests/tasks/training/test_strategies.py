"""Several processes train as one does, whatever each of them holds of the model; killed, they go on to the same bytes.

One process on the same rows a step is what is compared with: losses, and the norm of the gradient, which is that of all
processes' shares.
"""

import csv
import io
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, load_file
from transformers import LlamaForCausalLM

from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.models.record import base_record, describe, identity
from tasks.template import stage as template
from tasks.train.run import tune
from tasks.train.settings import Settings
from tasks.training.launch import Launch
from tasks.training.tuning_settings import LoRA
from tests.tasks import tiny
from tests.tasks.training.together import KILLED, together

STRATEGIES = ("ddp", "fsdp2", "zero2", "zero3")

SMALL = Settings(
    steps=6, batch_size=4, learning_rate=1e-3, warmup_steps=1, threads=1, logging_steps=1, checkpoint_steps=2,
    eval_steps=3, dtype="float32", lora=LoRA(r=2, alpha=4),
)  # fmt: skip


def project(root: Path, **values: Any) -> Paths:
    paths = tiny.project(root, method="none")
    template.run(template.Settings(**values), paths)
    return paths


def skip_without_deepspeed(strategy: str) -> None:
    if strategy.startswith("zero") and find_spec("deepspeed") is None:
        pytest.skip("the extra deepspeed is not installed")


def by(strategy: Any, processes: int = 2, **values: Any) -> Settings:
    """Settings for so many processes that take four rows a step together."""
    skip_without_deepspeed(strategy)
    division = {"launch": Launch(processes=processes, strategy=strategy), "batch_size": 4 // processes}
    return Settings.model_validate({**SMALL.model_dump(), **values, **division})


def trained(paths: Paths, settings: Settings) -> dict[str, bytes]:
    assert set(together(tune, paths, settings)) == {0}, (paths.root / "output-0.txt").read_text()[-2000:]
    return {file.name: file.read_bytes() for file in paths.trained.iterdir()}


def points(folder: dict[str, bytes]) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO(folder["loss.csv"].decode()))
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def assert_alike(one: dict[str, bytes], several: dict[str, bytes]) -> None:
    """The same losses to a millionth. The norm of the gradient is a sum of float32, whose order its last digits show:
    DeepSpeed's differs by 1.004 millionths in one step of six; the gradient itself is compared below."""
    assert sorted(one) == sorted(several)
    for point, other in zip(points(one), points(several), strict=True):
        norms = point.pop("grad_norm", 0.0), other.pop("grad_norm", 0.0)
        assert other == pytest.approx(point, rel=1e-6)
        assert norms[1] == pytest.approx(norms[0], rel=2e-6)


def gradient(paths: Paths, settings: Settings) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Of all weights, which one step down a slope of 1 has taken off."""
    step = {"steps": 1, "optimizer": "sgd", "learning_rate": 1.0, "scheduler": "constant", "warmup_steps": 0}
    whole = settings.model_copy(update={**step, "max_grad_norm": 1e9, "method": "full"})
    weights = load(trained(paths, whole)["model.safetensors"])
    before = load_file(paths.base / "model" / "model.safetensors")
    return np.concatenate(
        [(before[name].astype(np.float64) - weights[name].astype(np.float64)).ravel() for name in sorted(before)]
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """What one process makes of all rows of a step by a method."""
    paths = project(tmp_path_factory.mktemp("alone"))
    return cache(lambda method: trained(paths, by("ddp", 1, method=method)))


WAYS = [
    pytest.param(strategy, method, marks=() if (strategy, method) == ("fsdp2", "full") else pytest.mark.long)
    for strategy in STRATEGIES
    for method in ("full", "lora", *(("qlora", "dora") if strategy in ("ddp", "zero2") else ()))
]
"""Every strategy with every weight and with an adapter, one of them among the quick tests."""


@pytest.mark.parametrize(("strategy", "method"), WAYS)
def test_two_processes_have_the_losses_of_one(tmp_path: Path, alone: Any, strategy: str, method: str) -> None:
    two = trained(project(tmp_path), by(strategy, method=method))
    assert_alike(alone(method), two)
    assert "float32 on cpu, 1 of " in (tmp_path / "output-0.txt").read_text(), "threads are those of the settings"
    if method == "full":
        assert alone(method)["config.json"] == two["config.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return gradient(project(tmp_path_factory.mktemp("whole")), by("ddp", 1))


@pytest.mark.long
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_have_the_gradient_of_one(tmp_path: Path, whole: Any, strategy: str) -> None:
    shared = gradient(project(tmp_path), by(strategy))
    assert np.linalg.norm(whole) > 1
    assert np.linalg.norm(shared - whole) <= 1e-6 * np.linalg.norm(whole)


@pytest.mark.long
@pytest.mark.parametrize(
    ("strategy", "method"), [*product(STRATEGIES, ("full", "lora")), ("ddp", "qlora"), ("zero2", "qlora")]
)
def test_killed_they_go_on_to_the_same_bytes(tmp_path: Path, strategy: str, method: str) -> None:
    paths = project(tmp_path)
    settings = by(strategy, method=method)
    undisturbed = trained(paths, settings)
    assert together(tune, paths, settings, dies_at=5)[-1] == KILLED
    assert "checkpoint-4" in {path.name for path in paths.root.glob("data/scratch/train-*/checkpoint-*")}
    assert trained(paths, settings) == undisturbed
    assert "from checkpoint-4" in (paths.root / "output-0.txt").read_text()


ANOTHER = [
    ("fsdp2", 2, 4, "full", "adamw_torch"),
    ("fsdp2", 2, 1, "full", "adamw_torch"),
    ("fsdp2", 1, 2, "full", "adamw_torch"),
    ("ddp", 1, 2, "full", "adamw_torch"),
    *(
        (strategy, *numbers, method, optimizer)
        for strategy in ("zero2", "zero3")
        for numbers, method, optimizer in (
            ((2, 4), "full", "adamw_torch"), ((4, 2), "lora", "adamw_torch_fused"), ((2, 4), "lora", "sgd"),
        )
    ),
    ("zero2", 4, 2, "qlora", "adamw_torch"),
    ("zero2", 2, 4, "dora", "adamw_torch"),
]  # fmt: skip
"""Strategy, numbers of processes before and after, method, and optimiser."""


@pytest.mark.long
@pytest.mark.parametrize(("strategy", "before", "after", "method", "optimizer"), ANOTHER)
def test_another_number_of_processes_goes_on(
    tmp_path: Path, strategy: str, before: int, after: int, method: str, optimizer: str
) -> None:
    paths = project(tmp_path)
    values = {"method": method, "optimizer": optimizer, "weight_decay": 0.5, "learning_rate": 1e-2}
    undisturbed = trained(paths, by(strategy, before, **values))
    assert together(tune, paths, by(strategy, before, **values), dies_at=5)[-1] == KILLED
    other = trained(paths, by(strategy, after, **values))
    output = (paths.root / "output-0.txt").read_text()
    assert f"resumes checkpoints of {before} processes with {after}" in output
    assert "from checkpoint-4" in output
    settings = [folder.pop("settings.json") for folder in (undisturbed, other)]
    assert settings[0] != settings[1]
    assert_alike(undisturbed, other)


@pytest.mark.long
def test_more_rows_a_step_begin_anew(tmp_path: Path) -> None:
    paths = project(tmp_path)
    assert together(tune, paths, by("fsdp2", 2, method="full"), dies_at=5)[-1] == KILLED
    trained(paths, by("fsdp2", 1, method="full").model_copy(update={"batch_size": 2}))
    output = (paths.root / "output-0.txt").read_text()
    assert "cannot resume the checkpoints in" in output
    assert "from checkpoint-4" not in output


@pytest.mark.long
def test_with_what_waits_in_the_hosts_memory_the_losses_are_the_same(tmp_path: Path, alone: Any) -> None:
    launch = {"processes": 2, "strategy": "zero3", "offload": True}
    settings = Settings.model_validate({**by("zero3", method="full").model_dump(), "launch": launch})
    assert_alike(alone("full"), trained(project(tmp_path), settings))


@pytest.mark.long
def test_an_adapter_on_a_shared_base_of_16_bits_learns_what_it_does_on_a_whole_one(tmp_path: Path) -> None:
    paths = project(tmp_path)
    folder = paths.base / "model"
    LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    files = describe(folder)
    write_json(paths.base / "base.json", {**base_record(paths), "files": files, "sha256": identity(files)})
    one = trained(paths, by("ddp", 1))
    assert_alike(one, trained(paths, by("fsdp2")))
