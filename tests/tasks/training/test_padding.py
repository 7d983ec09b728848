"""Batches without padding: the same losses, and only for models that keep rows apart."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import CheckFailed
from tasks.core.paths import Paths
from tasks.models.loading import load_model
from tasks.models.record import base_folder
from tasks.rows.canonical import IGNORED
from tasks.template import stage as template
from tasks.training import padding, row_attention, rows, trainer
from tasks.training.packs import LinesCollator
from tasks.training.settings import Batched
from tests.tasks import tiny

SMALL = Batched(steps=3, batch_size=4, threads=1, logging_steps=1, checkpoint_steps=9)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = tiny.project(tmp_path_factory.mktemp("padding"), method="none")
    template.run(template.Settings(), paths)
    return paths


def recurrent(vocabulary: int) -> Any:
    """A model that reads a batch's tokens as one text, whatever their positions."""
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    return MambaForCausalLM(MambaConfig(vocab_size=vocabulary, hidden_size=16, state_size=4, num_hidden_layers=1))


def losses(project: Paths, folder: Path, padding_free: bool) -> list[float]:
    model = load_model(base_folder(project))
    settings = SMALL.model_copy(update={"padding_free": padding_free})
    trainer.prepare(settings)
    train = rows.load(project.templated / "train.arrow")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(project.templated / "tokenizer")
    done = trainer.fit("train", model, tokenizer, train, settings, folder)
    assert done.facts["arguments"]["padding_free"] is padding_free
    return [float(line.split(",")[1]) for line in done.curve.splitlines()[1:] if line.split(",")[1]]


def test_losses_are_those_of_padded_batches(project: Paths, tmp_path: Path) -> None:
    padded, free = (losses(project, tmp_path / str(kind), kind) for kind in (False, True))
    assert len(padded) >= SMALL.step_count
    assert free == pytest.approx(padded, rel=1e-5)


def test_losses_are_the_same_on_several_lines(project: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    padded = losses(project, tmp_path / "padded", False)
    monkeypatch.setattr("tasks.training.lines.LINE", 50)
    monkeypatch.setattr("tasks.training.row_attention.use", lambda model: False)
    shapes = []
    collate = LinesCollator.__call__

    def noting(self: LinesCollator, items: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(self, items)
        shapes.append(len(batch["input_ids"]))
        return batch

    monkeypatch.setattr(LinesCollator, "__call__", noting)
    assert losses(project, tmp_path / "lines", True) == pytest.approx(padded, rel=1e-5)
    assert max(shapes) in (2, 3)  # of four rows


def test_a_batch_on_lines_is_the_batch_on_one_line(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.training.lines.LINE", 50)
    items = [rows.load(project.templated / "train.arrow")[index] for index in range(4)]
    model = load_model(base_folder(project)).eval()
    sums, gradients = [], []
    for collator in (padding.FLAT_COLLATOR, LinesCollator()):
        batch = collator([{name: item[name] for name in ("input_ids", "labels")} for item in items])
        targets = batch.pop("labels")[:, 1:]
        logits = model(**batch, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        sums.append(loss.item())
        gradients.append(torch.cat([value.grad.flatten() for value in model.parameters()]))
        model.zero_grad()
    assert sums[1] == pytest.approx(sums[0], rel=1e-6)
    assert (gradients[1] - gradients[0]).norm() < 1e-5 * gradients[0].norm()


def test_auto_is_for_models_that_keep_rows_apart_and_for_short_rows_if_by_masks(
    project: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = rows.load(project.templated / "train.arrow")
    model = load_model(base_folder(project))
    assert padding.use_padding_free("train", SMALL, model, train)
    assert not padding.use_padding_free("train", SMALL, recurrent(model.config.vocab_size), train)
    monkeypatch.setattr("tasks.training.lines.DENSE", 1)
    row_attention.leave(model)
    assert padding.use_padding_free("train", SMALL, model, train) is padding.FLAT_COLLATOR
    row_attention.leave(model)
    monkeypatch.setattr(row_attention, "use", lambda model: False)
    assert not padding.use_padding_free("train", SMALL, model, train)


def test_a_model_that_mixes_rows_is_refused_where_it_is_asked_for(project: Paths) -> None:
    train = rows.load(project.templated / "train.arrow")
    vocabulary = load_model(base_folder(project)).config.vocab_size
    asked = SMALL.model_copy(update={"padding_free": True})
    with pytest.raises(CheckFailed, match=r"set train\.padding_free to auto or false"):
        padding.use_padding_free("train", asked, recurrent(vocabulary), train)
    assert not padding.use_padding_free("train", SMALL.model_copy(update={"padding_free": False}), None, train)


def test_short_rows_on_four_bits_are_not_taken_for_mixed(tmp_path: Path) -> None:
    """Kernels of low bits round differently for few tokens: rows of eight differed by more than `TOLERANCE`."""
    import numpy as np
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=500, max_position_embeddings=256, **sizes)).save_pretrained(tmp_path)
    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=four_bits, dtype=torch.bfloat16)
    ids = [np.random.RandomState(seed).randint(0, 500, 8) for seed in range(2)]
    assert padding.rows_stay_apart(model, [{"input_ids": row} for row in ids], padding.FLAT_COLLATOR)


@pytest.mark.parametrize(("kind", "tokens"), [("float32", 16), ("bfloat16", 64)])
def test_few_tokens_of_a_row_are_compared_in_float32(kind: str, tokens: int, project: Paths) -> None:
    """A row alone, two rows one behind the other, and the second one again."""
    model = load_model(base_folder(project)).to(getattr(torch, kind))
    passed: list[int] = []
    model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: passed.append(inputs[0].numel()))
    items = [{"input_ids": [5, 6, 7]}, {"input_ids": [8, 9, 10, 11]}]
    padding.rows_stay_apart(model, items, padding.FLAT_COLLATOR)
    assert passed == [tokens, 3 * tokens]
