"""Weights, gradients and optimiser states are what they are by hand, and shallow models stand for a deep one."""

from typing import Any

import pytest

from tasks.memory.passes import Batch, batch_of, unlike
from tasks.memory.price import price
from tasks.training.settings import Batched, Optimization
from tasks.training.tuning_settings import LoRA, Tuning


def llama(layers: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=1000, tie_word_embeddings=False, dtype="bfloat16",
    )  # fmt: skip


LAYER = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128  # q and o, k and v, gate, up and down
NORMS = 64 + 6 * 2 * 64
WEIGHTS = 2 * 1000 * 64 + 6 * LAYER + NORMS
ADAPTER = 6 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))  # rank 4


def test_a_frozen_base_stays_in_16_bits_and_what_is_trained_is_float32() -> None:
    tuning = Tuning(method="lora", lora=LoRA(r=4))
    paid = price("train", llama(6), tuning, Optimization(), Batch(2, 32, 32), bfloat16=True, card=True)
    assert paid.weights == 2 * (WEIGHTS - NORMS) + 4 * (NORMS + ADAPTER)
    assert (paid.gradients, paid.optimizer) == (4 * ADAPTER, 8 * ADAPTER)
    assert paid.logits >= 2 * 32 * 1000 * 4


def test_full_training_holds_sixteen_bytes_a_weight() -> None:
    tuning = Tuning(method="full")
    paid = price("train", llama(6), tuning, Optimization(), Batch(2, 32, 32), bfloat16=True, card=True)
    assert paid.weights + paid.gradients + paid.optimizer == 16 * WEIGHTS


@pytest.mark.parametrize(
    ("weights", "held", "kept"), [("bfloat16_kahan", 2, 2), ("bfloat16_stochastic", 2, 0), ("float32", 4, 0)]
)
def test_trained_weights_of_16_bits_are_priced_as_such(weights: str, held: int, kept: int) -> None:
    tuning = Tuning.model_validate({"method": "full", "weights": weights})
    paid = price("train", llama(6), tuning, Optimization(), Batch(2, 32, 32), bfloat16=True, card=True)
    matrices = WEIGHTS - NORMS
    assert paid.weights == paid.gradients == held * matrices + 4 * NORMS
    assert paid.optimizer == 8 * WEIGHTS + kept * matrices


def test_a_method_that_reads_the_weights_of_its_layers_has_them_in_float32() -> None:
    tuning = Tuning(method="dora", lora=LoRA(r=4))
    paid = price("train", llama(1), tuning, Optimization(), Batch(2, 32, 32), bfloat16=True, card=True)
    magnitudes = 64 + 64 + 2 * 32 + 2 * 128 + 64  # a number for each row of each matrix
    assert paid.weights == 4 * (WEIGHTS - 5 * (LAYER + 2 * 64) + ADAPTER // 6 + magnitudes)


def test_the_need_grows_with_the_batch_and_shrinks_with_checkpointing() -> None:
    tuning = Tuning(method="lora")

    def activations(lines: int, **settings: Any) -> int:
        one = Optimization(**settings)
        return price(
            "train", llama(3), tuning, one, Batch(lines, 64, 64, tiled=True), bfloat16=True, card=True
        ).activations

    assert activations(8) == pytest.approx(2 * activations(4), rel=0.1)
    assert activations(8, gradient_checkpointing=True) < activations(8) / 2


def test_attention_over_one_row_at_a_time_grows_with_the_line_and_not_with_its_square() -> None:
    def activations(tokens: int, rows: tuple[int, ...]) -> int:
        batch = Batch(1, tokens, 32, masked=True, rows=rows)
        return price(
            "train", llama(1), Tuning(method="lora"), Optimization(), batch, bfloat16=False, card=False
        ).activations

    short, long = (activations(tokens, unlike(tokens)) for tokens in (512, 1024))
    assert long == pytest.approx(2 * short, rel=0.1)
    assert activations(1024, ()) > long + 1024**2 * 4, "a mask of numbers"
    assert activations(1024, (256,) * 4) < long, "rows that are as long as each other are not filled up"


def test_on_a_processor_the_rows_of_a_batch_share_one_line() -> None:
    settings = Batched(batch_size=4)
    rows = batch_of(settings, 2000, 50, packed=False, card=False)
    assert (rows.lines, rows.tokens, rows.labelled, rows.rows) == (1, 8000, 200, (2000,) * 4)
    assert batch_of(settings, 2000, 50, packed=False, card=True) == Batch(4, 2000, 50, tiled=True)
    packs = batch_of(settings, 80, 50, packed=True, card=False)
    assert packs.rows == (10, *(7,) * 10) * 4
    assert sum(unlike(83)) == 83


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
def test_only_what_bitsandbytes_packs_is_priced_in_four_bits() -> None:
    """It packs `Linear` itself and GPT-2's `Conv1D`, and no subclass, such as that of every layer of a Falcon."""
    from transformers import FalconConfig, GPT2Config

    tuning = Tuning(method="qlora", lora=LoRA(r=4), min_low_bits=0)
    batch = Batch(1, 16, 16)

    def weights(config: Any) -> int:
        return price("train", config, tuning, Optimization(), batch, bfloat16=True, card=True).weights

    width, layers, inner = 64, 2, 4 * 64
    gpt = GPT2Config(
        n_embd=width,
        n_layer=layers,
        n_head=4,
        vocab_size=500,
        n_positions=128,
        dtype="bfloat16",
        bos_token_id=1,
        eos_token_id=1,
    )
    matrices = layers * (3 * width * width + width * width + 2 * width * inner)
    embeddings = (500 + 128) * width
    small = layers * (3 * width + width + inner + width + 4 * width) + 2 * width  # biases and norms
    adapter = layers * 4 * ((width + 3 * width) + 2 * width + 2 * (width + inner))
    assert weights(gpt) == round(matrices * 4.13 / 8) + 2 * embeddings + 4 * (small + adapter)

    falcon = FalconConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        vocab_size=500,
        dtype="bfloat16",
        bos_token_id=1,
        eos_token_id=1,
    )
    lora = tuning.model_copy(update={"method": "lora"})
    whole = price("train", falcon, lora, Optimization(), batch, bfloat16=True, card=True).weights
    assert weights(falcon) == whole
