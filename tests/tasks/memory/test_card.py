"""The largest batch that fits into a card."""

import re
from typing import Any

import pytest
from pydantic import ValidationError
from transformers import LlamaConfig

from tasks.align.settings import Settings as Align
from tasks.memory import card
from tasks.memory.card import compare
from tasks.memory.workloads import Lengths, Training
from tasks.train.settings import Contrast
from tasks.train.settings import Settings as Train


def training(what: str, settings: Any) -> Training:
    """Rows of 64 tokens on a Llama of one layer."""
    config = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=1000, dtype="bfloat16",
    )  # fmt: skip
    return Training(what, what, settings, settings, config, Lengths(64, 64, "drawn"))


def test_the_largest_batch_that_fits_is_a_command_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Train(batch_size=2, gradient_accumulation=12, padding_free=False)
    one = training("train", settings)
    room = one.price(settings.model_copy(update={"batch_size": 7, "gradient_accumulation": 4})).total
    assert not list(compare(one, "a card", room))
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"train: 6 of the effective batch of 24 fit at once \(0\.\d\d GiB\): "
        "temper run --set train.batch_size=6 --set train.gradient_accumulation=4",
        line,
    )


def test_rows_that_share_a_line_are_counted_as_the_settings_count_them() -> None:
    rows, packs = Train(batch_size=4, padding_free=True), Train(batch_size=4, padding_free=False)
    assert "batches of 4 rows in one line of 256 tokens (drawn)" in training("train", rows).about()
    assert "batches of 4 x 64 tokens (drawn)" in training("train", packs).about()


def test_a_batch_that_is_the_largest_already_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Train(batch_size=4, gradient_accumulation=2, padding_free=False)
    one = training("train", settings)
    assert not list(compare(one, "a card", one.price(settings).total))
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == "train: at most 4 of the effective batch of 8 fit at once"


@pytest.mark.parametrize(
    ("objective", "arguments", "whole"),
    [
        ("dpo", {}, False),
        ("dpo", {"loss_type": "aot"}, True),
        ("dpo", {"loss_type": ["sigmoid", "bco_pair"]}, True),
        ("kto", {}, True),
        ("orpo", {}, True),
        ("reward", {}, False),
    ],
)
def test_a_loss_that_looks_at_a_whole_batch_is_not_split(
    objective: str, arguments: dict[str, Any], whole: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    one = training("align", Align(objective=objective, arguments=arguments, batch_size=4))
    assert not list(compare(one, "a card", 2**40))
    line = capsys.readouterr().out.splitlines()[-1]
    assert ("depends on the whole batch, so align.batch_size changes the result" in line) == whole
    assert (line == "align: the whole effective batch of 4 fits at once") == (not whole)


def test_a_classifier_is_priced_without_logits_of_words(capsys: pytest.CaptureFixture[str]) -> None:
    one = training("train", Train(objective="classify", batch_size=4, gradient_accumulation=2))
    assert not list(compare(one, "a card", 2**40))
    line, fits, most = capsys.readouterr().out.splitlines()
    assert "batches of 4 x 64 tokens (drawn)" in line and ", scores, " in line
    assert fits.startswith("train: fits")
    assert most.startswith("train: 8 of the effective batch of 8 fit at once")
    written = training("train", Train(batch_size=4, gradient_accumulation=2, padding_free=False))
    assert one.price().logits < written.price().logits / 10  # a number for each class, not for each of 1,000 tokens


def test_an_embedding_model_is_priced_by_its_texts_and_its_batch_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = Train(objective="embed", batch_size=4)
    one = training("train", settings)
    assert not list(compare(one, "a card", 2**40))
    line, _, most = capsys.readouterr().out.splitlines()
    assert "batches of 8 x 64 tokens (drawn)" in line and "loss on vectors of texts" in line
    assert "the loss of embed depends on the whole batch, so train.batch_size changes the result" in most
    parts = settings.model_copy(update={"contrast": Contrast(chunk=2)})
    assert one.price(parts).activations < one.price(settings).activations


def test_advice_for_a_loss_that_looks_at_a_whole_batch_leaves_the_batch_alone() -> None:
    one = training("align", Align(objective="kto", batch_size=64))
    (sentence,) = compare(one, "a card", one.price().total - 1)
    assert "align.gradient_checkpointing to true" in sentence
    assert "batch_size" not in sentence


@pytest.mark.parametrize("section", [Train, Align])
def test_auto_is_refused_with_the_way_to_the_number(section: Any) -> None:
    with pytest.raises(ValidationError, match=r"auto is not offered.*temper check --card says how many rows fit"):
        section.model_validate({"batch_size": "auto"})


def test_what_vllm_takes_of_a_card_is_not_there_for_the_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    within = {"engine": "vllm", "memory": 0.4}
    beside = {"engine": "vllm", "server": "http://127.0.0.1:8000"}
    lines = []
    for generation in ({}, within, beside):
        settings = Align.model_validate({"objective": "grpo", "generation": generation})
        one = training("align", settings)
        monkeypatch.setattr(card, "trainings", lambda *_, one=one: [one])
        assert not list(card.check("10GB"))
        lines.append(capsys.readouterr().out.splitlines())
    assert lines[1][0] == "align: vLLM takes 4.00 GiB of each GPU permanently, a share of 0.4"
    (left,) = re.findall(r"fits, ([\d.]+) GiB are left", "\n".join(lines[0]))
    (less,) = re.findall(r"fits, ([\d.]+) GiB are left", "\n".join(lines[1]))
    assert float(left) - float(less) == pytest.approx(4.0, abs=0.011)
    assert lines[2] == lines[0], "a server has cards of its own"
