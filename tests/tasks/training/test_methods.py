"""Methods, optimisers and objectives: a few are tried here, all of them in the long tier; what is refused says why."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import CheckFailed, SettingsError
from tasks.core.paths import Paths
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training import methods, optimizers
from tests.tasks import support, tiny

CASES = {f"{case.part} {case.name}": case for case in support.cases()}
FEW = ("method freeze", "method pissa", "method ia3", "method prompt_tuning", "optimiser muon", "trick early stopping")


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return support.project(tmp_path)


@pytest.mark.parametrize("name", FEW)
def test_a_method_learns_is_saved_loads_back_and_goes_on_after_a_kill(project: Paths, name: str) -> None:
    result = support.trial(CASES[name], project)
    assert result.works, result.limits


@pytest.mark.long
@pytest.mark.filterwarnings("default")  # what libraries say on the way is no failure of a method
@pytest.mark.parametrize("name", [name for name in CASES if name not in FEW])
def test_every_method_does_what_the_page_says(project: Paths, name: str) -> None:
    module, distribution = optimizers.PACKAGES.get(CASES[name].name, ("torch", "torch"))
    if find_spec(module) is None:
        pytest.skip(f"{distribution} is not installed")
    result = support.trial(CASES[name], project)
    line = next(line for line in support.PAGE.read_text().splitlines() if line.startswith(f"| {result.name} |"))
    output = line.split("|")[2].strip()
    assert output == "works" if result.works else output.startswith(("works with", "refused")), result


def test_the_page_has_a_line_for_all_that_is_offered_and_refused() -> None:
    lines = support.PAGE.read_text().splitlines()
    for case in CASES.values():
        assert any(line.startswith(f"| {case.name} | ") for line in lines), f"run python -m tests.tasks.support: {case}"
    for _, name, reason in support.refused():
        assert any(line.startswith(f"| {name} | refused: {reason}") for line in lines), name


def test_every_kind_of_peft_is_offered_or_refused() -> None:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    offered = {method.kind for method in methods.METHODS.values() if method.kind}
    assert kinds == offered | {name.upper() for name in methods.REFUSED if name.upper() in kinds}


def test_every_optimiser_of_transformers_is_offered_or_refused() -> None:
    from transformers.training_args import OptimizerNames

    names = {name.value for name in OptimizerNames}
    assert names <= {*optimizers.OPTIMIZERS, *optimizers.REFUSED}
    assert set(optimizers.OPTIMIZERS) - names == {"muon"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "loftq"}, "not offered: peft computes it only on CUDA"),
        ({"method": "bottleneck-adapter"}, "not offered: the library adapters supports transformers only up to 4.57"),
        ({"method": "lorra"}, "did you mean 'lora'"),
        (
            {"method": "lora", "peft": {"init_lora_weights": "loftq"}},
            "loftq is not offered: peft computes it only on CUDA",
        ),
        (
            {"method": "lora", "peft": {"init_lora_weights": "pissa_niter_4"}},
            "to use init_lora_weights pissa, set method to pissa",
        ),
        ({"method": "full", "peft": {"r": 4}}, "no effect on a method without an adapter"),
        ({"method": "dora", "peft": {"lora_alpha": 4}}, "set the key lora.alpha instead of lora_alpha"),
        ({"method": "trainable_tokens"}, "needs token_indices"),
        ({"method": "full", "quantization": "nf4"}, "quantised weights cannot be trained"),
        ({"method": "loha", "quantization": "nf4"}, "loha does not work on a quantised base"),
        ({"optimizer": "badam"}, "not offered: .* could not end in the same bytes"),
        ({"optimizer": "adamw"}, "did you mean"),
        ({"scheduler": "cosin"}, "did you mean 'cosine'"),
        ({"arguments": {"learning_rate": 1}}, "set by the key learning_rate"),
        ({"arguments": {"packing": True}}, "packing is not offered: the stage template renders"),
        ({"arguments": {"output_dir": "x"}}, "temper sets"),
        ({"arguments": {"fsdp": True}}, "fsdp is not offered: use the key launch.strategy"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"method": "ia3", "peft": {"feedforward": []}},
            r"'train\.peft\.feedforward'.*did you mean 'feedforward_modules'",
        ),
        ({"method": "lora", "peft": {"task_type": "SEQ_CLS"}}, "no such field"),
        ({"method": "oft", "peft": {"r": 3, "oft_block_size": 5}}, "peft"),
        ({"method": "road", "peft": {"group_size": 60}}, r"train\.peft"),
        ({"method": "freeze", "freeze": {"layers": 9}}, "the base has only 2 blocks"),
        ({"method": "freeze", "freeze": {"names": ["lm_head"]}}, "the head shares the weights of the embeddings"),
        ({"method": "prompt_tuning", "padding_free": True}, "would precede only the first"),
        ({"arguments": {"neftune": 5}}, r"unknown key 'train\.arguments\.neftune'.*neftune_noise_alpha"),
    ],
)
def test_what_does_not_fit_is_told_as_a_sentence(project: Paths, values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        run.tune(Settings.model_validate({**support.COMMON, **values}), project)


def test_a_loss_that_is_no_number_stops_the_run_in_its_step(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.training import trainer

    monkeypatch.setattr(trainer, "loss", lambda *arguments: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(CheckFailed, match=r"the loss is nan in step 1; lower train\.learning_rate"):
        run.tune(Settings.model_validate(support.COMMON | {"logging_steps": 100}), project)


def test_the_loss_of_trained_tokens_is_the_models_own(project: Paths) -> None:
    from tasks.models.loading import load_model
    from tasks.models.record import base_folder
    from tasks.training.loss import accepts_logits_to_keep, loss

    model = load_model(base_folder(project))
    torch.manual_seed(0)
    ids = torch.randint(3, 200, (3, 12))
    labels = ids.masked_fill(torch.rand(ids.shape) < 0.6, -100)
    inputs = {"input_ids": ids, "labels": labels}
    own = model(**inputs).loss
    assert accepts_logits_to_keep(model)
    for choosing in (True, False):
        torch.testing.assert_close(loss(model, dict(inputs), None, choosing), own)
        torch.testing.assert_close(loss(model, dict(inputs), 7, choosing) * 7, own * (labels[:, 1:] != -100).sum())
    empty = loss(model, {"input_ids": ids, "labels": torch.full_like(ids, -100)}, None, True)
    empty.backward()
    assert empty.item() == 0


def test_checkpoints_of_other_settings_are_told_and_stay_until_there_are_newer_ones(
    capsys: Any, tmp_path: Path
) -> None:
    from tasks.training import checkpoints

    folders = []
    for seed in (1, 2, 3):
        folders.append(checkpoints.folder(tmp_path / "train", {"settings": {"seed": seed}, "base": "a"}))
        (folders[-1] / "checkpoint-3").mkdir()
        os.utime(folders[-1] / checkpoints.INPUTS, (seed, seed))
        output = capsys.readouterr().out
        assert (
            output == ""
            if seed == 1
            else f"{folders[-2]}, because inputs have changed: settings.seed. Restore" in output
        )
    assert f"removed the older checkpoints in {folders[0]}" in output
    assert sorted(tmp_path.glob("train-*")) == sorted(folders[1:])
    assert checkpoints.folder(tmp_path / "train", {"settings": {"seed": 2}, "base": "a"}) == folders[1]
    assert (folders[1] / "checkpoint-3").is_dir()
    assert tiny.read(folders[2] / checkpoints.INPUTS)["inputs"]["settings"] == {"seed": 3}
