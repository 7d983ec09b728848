"""A classifier: its loss against numbers worked apart, the same bytes after a kill, the token that its head reads."""

import csv
import io
import json
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import SettingsError
from tasks.core.files import sha256
from tasks.core.paths import Paths
from tasks.models.classes import from_pretrained
from tasks.models.head import Head, filled
from tasks.train import run
from tasks.train.classifier import ClassTrainer, Collator, LabelTrainer
from tasks.train.settings import Settings
from tasks.training.tuning_settings import LoRA
from tests.tasks import sorted_commands
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings(
    objective="classify", steps=6, batch_size=4, learning_rate=1e-2, warmup_steps=1, threads=1, logging_steps=1,
    checkpoint_steps=2, eval_steps=3, lora=LoRA(r=2, alpha=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def templated(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return sorted_commands.project(tmp_path_factory.mktemp("sorted"))


def hashes(paths: Paths) -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(paths.fitted.iterdir())}


def several(root: Path) -> Paths:
    return sorted_commands.project(root, lists=True)


def test_any_number_of_classes_starts_at_ln_2_and_ends_in_the_same_bytes_after_a_kill(tmp_path: Path) -> None:
    paths = several(tmp_path)
    run.tune(settings := SMALL.model_copy(update={"labels": "several", "threshold": 0.3}), paths)
    first = hashes(paths)
    curve = list(csv.DictReader(io.StringIO((paths.fitted / "loss.csv").read_text())))
    assert float(curve[0]["loss"]) == pytest.approx(log(2))  # the head is zero: each class is as likely as not
    assert float(curve[-1]["loss"]) < float(curve[0]["loss"])
    kill_and_continue(lambda: run.tune(settings, paths), 5)
    assert hashes(paths) == first


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_starts_at_ln_of_the_classes_and_ends_in_the_same_bytes_after_a_kill(templated: Paths, method: str) -> None:
    settings = SMALL.model_copy(update={"method": method})
    run.tune(settings, templated)
    first = hashes(templated)
    curve = list(csv.DictReader(io.StringIO((templated.fitted / "loss.csv").read_text())))
    assert float(curve[0]["loss"]) == pytest.approx(log(4))  # the head is zero
    assert float(curve[-1]["loss"]) < float(curve[0]["loss"])
    facts = json.loads((templated.fitted / "training.json").read_text())
    assert tuple(facts["classes"]) == sorted_commands.CLASSES
    assert facts["rows"] == 20
    kill_and_continue(lambda: run.tune(settings, templated), 5)
    assert hashes(templated) == first


@pytest.mark.parametrize("labels", ["one", "several"])
def test_the_same_steps_whatever_part_of_a_batch_is_computed_at_once(
    templated: Paths, tmp_path: Path, labels: str
) -> None:
    losses = []
    templated = several(tmp_path) if labels == "several" else templated
    for batch, parts in ((4, 1), (2, 2)):
        changed = {"batch_size": batch, "gradient_accumulation": parts, "steps": 7, "labels": labels}
        settings = SMALL.model_copy(update=changed)
        run.tune(settings, templated)
        curve = csv.DictReader(io.StringIO((templated.fitted / "loss.csv").read_text()))
        losses.append([[float(value) for name, value in line.items() if value] for line in curve])
    for one, other in zip(*losses, strict=True):
        assert one == pytest.approx(other, rel=1e-3)


class Fixed(torch.nn.Module):
    """Answers with fixed logits (B, C)."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, **inputs: Any) -> Any:
        return type("Output", (), {"logits": self.logits})


def test_the_loss_is_the_mean_over_rows_times_their_weights() -> None:
    trainer = ClassTrainer.__new__(ClassTrainer)
    trainer.weights = torch.tensor([1.0, 3.0])
    inputs = {"input_ids": torch.ones(2, 1), "attention_mask": torch.ones(2, 1), "labels": torch.tensor([0, 1])}
    loss = trainer.compute_loss(Fixed([[2.0, 0.0], [1.0, 0.0]]), inputs)
    by_hand = (log(1 + exp(-2)) + 3 * log(1 + exp(1))) / 2
    assert loss.item() == pytest.approx(by_hand)
    assert trainer.compute_loss(Fixed([[2.0, 0.0], [1.0, 0.0]]), inputs, num_items_in_batch=4).item() == pytest.approx(
        by_hand / 2
    )


def test_the_loss_of_any_number_of_classes_is_the_mean_over_rows_and_classes() -> None:
    """By hand: ln(1 + e^-x) where a class applies, times its weight, and ln(1 + e^x) where it does not."""
    trainer = LabelTrainer.__new__(LabelTrainer)
    trainer.weights = torch.tensor([1.0, 3.0])
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    inputs = {"input_ids": torch.ones(2, 1), "attention_mask": torch.ones(2, 1), "labels": labels}
    loss = trainer.compute_loss(Fixed([[2.0, 0.0], [1.0, -1.0]]), inputs)
    by_hand = (log(1 + exp(-2)) + log(2) + log(1 + exp(1)) + 3 * log(1 + exp(1))) / 4
    assert loss.item() == pytest.approx(by_hand)
    part = trainer.compute_loss(Fixed([[2.0, 0.0], [1.0, -1.0]]), inputs, num_items_in_batch=8)  # of 4 rows
    assert part.item() == pytest.approx(by_hand / 2)


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "gpt2": {"n_positions": 64},
    "gemma3_text": {"head_dim": 8, "num_key_value_heads": 2, "sliding_window": 8},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 24, "do_layer_norm_before": True},
    "falcon": {"alibi": True},
    "gpt_neox": {},
    "bloom": {},
    "qwen3": {"head_dim": 8, "num_key_value_heads": 2},
    "mixtral": {"num_local_experts": 2, "num_key_value_heads": 2},
}
"""Models with position ids, learnt positions, ALiBi, windows, experts; some have a forward pass of their own."""


@pytest.fixture(scope="module", params=FAMILIES)
def of_family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of each family."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
    sizes |= {"intermediate_size": 64, "initializer_range": 0.3, "pad_token_id": None}
    config = AutoConfig.for_model(request.param, **sizes, **FAMILIES[request.param])
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("threshold", [None, 0.5], ids=["one", "several"])
def test_a_row_in_a_padded_batch_is_read_at_its_last_token_as_alone(of_family: Path, threshold: float | None) -> None:
    model = Head(("a", "b", "c"), pad=7, threshold=threshold).load(of_family).eval()
    model.score.weight.data.normal_()
    prompts = [[7, 11, 12], [5, 9, 13, 7, 21, 22, 23], [31]]  # what fills up may stand in a prompt, too
    labels: Any = 0 if threshold is None else [1.0, 0.0, 1.0]
    batch = Collator(7)([{"input_ids": ids, "labels": labels} for ids in prompts])
    kind = ClassTrainer if threshold is None else LabelTrainer
    trainer = kind.__new__(kind)
    trainer.weights = torch.ones(3)
    with torch.no_grad():
        together = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        alone = [
            model.score(model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]) for ids in prompts
        ]
        loss = trainer.compute_loss(model, batch)
    assert torch.allclose(together, torch.stack(alone), atol=1e-5)
    if threshold is None:
        expected = -torch.stack(alone).log_softmax(-1)[:, 0].mean()
    else:  # ln(1 + e^-x) where a class applies, and ln(1 + e^x) where it does not
        expected = torch.nn.functional.softplus(torch.stack(alone) * torch.tensor([-1.0, 1.0, -1.0])).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_prompts_are_filled_up_on_the_right() -> None:
    ids, mask = filled([[1, 2], [3]], pad=9)
    assert ids.tolist() == [[1, 2], [3, 9]]
    assert mask.tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"objective": "rows", "classes": ["a", "b"]}, "classes has no effect without objective: classify"),
        ({"objective": "rows", "class_weights": "balanced"}, "class_weights has no effect without objective"),
        ({"enabled": False}, "enabled is false"),
        ({"start": "mine"}, "a classifier starts from the base"),
        ({"method": "ia3"}, "cannot be tuned by ia3"),
        ({"method": "qlora"}, "cannot be tuned by qlora"),
        ({"quantization": "nf4"}, "quantised base"),
        ({"method": "full", "weights": "bfloat16_kahan"}, "in float32"),
        ({"launch": {"processes": 2}}, "several processes"),
        ({"padding_free": True}, "padded"),
        ({"classes": ["a"]}, "at least two"),
        ({"classes": ["a", "b", "a"]}, "a occurs more than once"),
        ({"classes": ["a", " b"]}, "' b'"),
        ({"class_weights": {"a": 0}}, "greater than 0"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings.model_validate({"objective": "classify", **values})


def test_an_argument_without_effect_is_refused(templated: Paths) -> None:
    from tasks.train import stage

    for name, value in (("loss_type", "dft"), ("label_smoothing_factor", 0.1), ("pad_to_multiple_of", 8)):
        settings = Settings.model_validate({"objective": "classify", "arguments": {name: value}})
        with pytest.raises(SettingsError, match=name):
            stage.validate(settings, templated)


def test_settings_without_a_classifier_are_recorded_as_before() -> None:
    assert not {"objective", "classes", "class_weights"} & set(Settings().model_dump(mode="json"))


def test_the_head_learns_where_blocks_are_frozen(templated: Paths) -> None:
    settings = Settings.model_validate({**SMALL.model_dump(), "method": "freeze", "freeze": {"layers": 1}})
    run.tune(settings, templated)
    assert from_pretrained(templated.fitted).score.weight.abs().max() > 0
