"""Arguments that are passed on to trl: every one of the installed versions acts, has a key, or is refused."""

import os
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tasks.align.objectives import OBJECTIVES
from tasks.align.pass_through import ALIGNED, NEEDS, NOT_READ
from tasks.align.pass_through import OWNED as ALIGN_OWNED
from tasks.align.settings import Settings as Align
from tasks.core.errors import SettingsError
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run, stage
from tasks.train.settings import Settings
from tasks.training.pass_through import OWNED, SUPERVISED, why_not
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL

KINDS = ("sft", *(name for name in OBJECTIVES if name != "off"))


def configuration(kind: str) -> Any:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig if kind == "sft" else OBJECTIVES[kind].load()[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_of_the_installed_trl_is_classified_once(kind: str) -> None:
    names = {field.name for field in fields(configuration(kind))}
    acting = SUPERVISED if kind == "sft" else ALIGNED[kind]
    elsewhere = {} if kind == "sft" else {**ALIGN_OWNED, **{name: "" for name in NOT_READ if name not in acting}}
    for name in sorted(names):
        places = [name in acting, name in OWNED or name in elsewhere, why_not(name) is not None]
        assert any(places), f"{kind}: {name} is new: see what it does, and enter it in one of the tables"
        assert places.count(True) == 1 or (name in OWNED and name not in acting), f"{kind}: {name} is there twice"
    assert set(acting) <= names, "what acts is there"
    assert set(NEEDS.get(kind, {})) <= set(acting)


def test_keys_that_stand_for_an_argument_are_keys() -> None:
    assert {key for key in OWNED.values() if key} <= set(Settings.model_fields)
    assert set(ALIGN_OWNED.values()) <= set(Align.model_fields)


@pytest.mark.parametrize(
    "name",
    [
        "truncation_mode", "completion_only_loss", "packing_strategy", "eos_token", "pad_token", "chat_template_path",
        "assistant_only_loss", "dataset_text_field", "max_length", "shuffle_dataset", "report_to", "torch_compile",
        "model_init_kwargs", "use_liger_kernel", "use_vllm", "vllm_mode", "hub_token", "group_by_length",
    ],
)  # fmt: skip
def test_an_argument_without_effect_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, SettingsError), match=name):
        stage.validate(Settings(arguments={name: True}), Paths(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arguments": {"dataloader_prefetch_factor": 4}}, "no effect without dataloader_num_workers"),
        ({"arguments": {"activation_checkpointing_kwargs": {}}}, "no effect without gradient_checkpointing"),
        ({"arguments": {"ddp_timeout": 60}}, "no effect with a single process"),
        ({"arguments": {"adam_beta1": 0.8}, "optimizer": "sgd"}, "no effect on the optimizer sgd"),
        ({"arguments": {"optim_target_modules": ["attn"]}}, "no effect on the optimizer adamw_torch"),
        ({"arguments": {"train_sampling_strategy": "group_by_length"}}, "random or sequential"),
        ({"arguments": {"eval_on_start": True}, "patience": 2}, "remove it"),
        ({"arguments": {"loss_type": "nlll"}}, "nll or dft"),
        ({"arguments": {"loss_type": "dft", "label_smoothing_factor": 0.1}}, "no effect on the loss dft"),
    ],
)
def test_an_argument_without_effect_beside_other_keys_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.model_validate(values)


@pytest.mark.parametrize(
    ("objective", "arguments", "message"),
    [
        ("dpo", {"discopop_tau": 0.1}, "no effect without loss_type: discopop"),
        ("dpo", {"loss_weights": [1.0]}, "without a list as loss_type"),
        ("dpo", {"label_smoothing": 0.1, "loss_type": "hinge"}, "no effect without loss_type: exo_pair or robust"),
        ("dpo", {"label_smoothing": 0.1}, "no effect without loss_type: exo_pair or robust"),
        ("dpo", {"label_smoothing_factor": 0.1}, "dpo and cpo have label_smoothing"),
        ("dpo", {"sync_ref_model": True}, "the reference stays the initial model, since checkpoints do"),
        ("cpo", {"alpha": 0.5}, "no effect without loss_type: alphapo"),
        ("simpo", {"loss_type": "hinge"}, "one loss"),
        ("grpo", {"sapo_temperature_neg": 1.0}, "no effect without loss_type: sapo"),
        ("grpo", {"entropy_target": 1.0}, "no effect without use_adaptive_entropy: true"),
        ("grpo", {"eval_on_start": True}, "there is no validation loss"),
        ("grpo", {"epsilon": 0.1}, "no effect if each answer is used for a single step"),
        ("rloo", {"epsilon_high": 0.1}, "no effect if each answer is used for a single step"),
        ("grpo", {"cast_lm_head_to_fp32": True}, "on common models"),
        ("kto", {"ddp_timeout": 60}, "trains in one process"),
    ],
)
def test_an_argument_that_an_objective_does_not_read_is_refused(
    objective: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Align(objective=objective, arguments=arguments)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arguments": {"lr_scheduler_kwargs": {"x": 1}}}, r"lr_scheduler_kwargs: cosine has no 'x'.*num_cycles"),
        ({"arguments": {"lr_scheduler_kwargs": {"num_cycles": "a"}}}, "the schedule cosine rejects it"),
        ({"arguments": {"lr_scheduler_kwargs": {"num_cycles": 1}}, "scheduler": "constant"}, "it has none"),
        ({"arguments": {"lr_scheduler_kwargs": {"min_lr": 1}}, "scheduler": "cosine_with_min_l"}, "did you mean"),
        ({"scheduler": "warmup_stable_decay"}, "warmup_stable_decay rejects it"),
        ({"scheduler": "cosine_with_min_lr"}, "cosine_with_min_lr rejects it"),
        ({"scheduler": "polynomial", "learning_rate": 1e-9}, "polynomial rejects it"),
        ({"arguments": {"optim_args": "foo=1"}}, "foo = 1 has no effect on adamw_torch"),
        ({"arguments": {"optim_args": "momentum"}, "optimizer": "sgd"}, "name=value"),
        ({"arguments": {"optim_args": "momentum=a"}, "optimizer": "sgd"}, "the optimizer rejects it"),
        ({"arguments": {"optim_args": "momentum=0.9,dampning=1"}, "optimizer": "sgd"}, "dampning = 1 has no effect"),
        ({"arguments": {"dataloader_num_workers": "five"}}, "dataloader_num_workers = 'five': trl takes"),
        ({"arguments": {"dataloader_num_workers": 1.5}}, "dataloader_num_workers = 1.5: trl takes int"),
        ({"arguments": {"lr_scheduler_kwargs": [1]}}, "trl takes"),
        ({"arguments": {"dataloader_drop_last": "yes"}}, "trl takes bool"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_runs(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, SettingsError), match=message):
        stage.validate(Settings.model_validate(values), Paths(tmp_path))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = tiny.project(tmp_path_factory.mktemp("arguments"), method="none")
    template.run(template.Settings(), paths)
    return paths


def curve(paths: Paths, **values: Any) -> str:
    """The losses of seven steps."""
    settings = {**SMALL.model_dump(), "steps": 7, "eval_steps": 2, "checkpoint_steps": 99, "dtype": "float32", **values}
    run.tune(Settings.model_validate(settings), paths)
    return (paths.trained / "loss.csv").read_text()


@pytest.fixture(scope="module")
def without(project: Paths) -> Callable[..., str]:
    """The curve of a training without further arguments, made once for the same values."""

    @cache
    def made(**values: Any) -> str:
        return curve(project, **values)

    return made


EFFECTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"adam_beta1": 0.5}, {}),
    ({"adam_epsilon": 1e-2}, {}),
    ({"optim_args": "momentum=0.9"}, {"optimizer": "sgd"}),
    ({"lr_scheduler_kwargs": {"num_cycles": 2.0}}, {}),
    ({"dataloader_drop_last": True}, {"batch_size": 3}),
    ({"eval_delay": 3}, {}),
    ({"eval_on_start": True}, {}),
    ({"label_smoothing_factor": 0.3}, {}),
    ({"loss_type": "dft"}, {}),
    ({"train_sampling_strategy": "sequential"}, {}),
]


@pytest.mark.filterwarnings("ignore:`label_smoothing_factor` is deprecated:FutureWarning")  # it works all the same
@pytest.mark.parametrize(("arguments", "values"), EFFECTS, ids=lambda value: next(iter(value), ""))
def test_an_argument_that_is_passed_on_acts(
    arguments: dict[str, Any], values: dict[str, Any], project: Paths, without: Callable[..., str]
) -> None:
    assert curve(project, **values, arguments=arguments) != without(**values)
