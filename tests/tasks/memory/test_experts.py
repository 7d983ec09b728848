"""Mixtures of experts are priced from their configuration, in every type of weights, activations kept or made again."""

from itertools import product

import pytest
from transformers import MixtralConfig, Qwen3MoeConfig

from tasks.memory.passes import Batch
from tasks.memory.price import price
from tasks.train.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys did not match")
"""peft sets patterns of its own for experts, and says so of those that an adapter leaves out."""

SIZES = {
    "vocab_size": 500, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 4, "max_position_embeddings": 256,
}  # fmt: skip
MIXTRAL = 2 * 500 * 64 + 2 * (4 * 64 * 64 + 8 * 64 + 8 * 3 * 64 * 128 + 2 * 64) + 64
"""Weights: embeddings and head; of each layer attention, router, eight experts of three matrices, two norms; a norm."""


@pytest.mark.parametrize(
    ("kind", "checkpointed", "method", "bfloat16"),
    [
        pytest.param(*case, marks=pytest.mark.long if case[1] != case[3] else ())
        for case in product((MixtralConfig, Qwen3MoeConfig), (False, True), ("lora", "full"), (False, True))
    ],
)
def test_a_mixture_has_a_price(kind: type[MixtralConfig], checkpointed: bool, method: str, bfloat16: bool) -> None:
    config = kind(**SIZES, architectures=[kind.__name__.replace("Config", "ForCausalLM")], dtype="bfloat16")
    settings = Settings.model_validate({"method": method, "gradient_checkpointing": checkpointed})
    needed = price("train", config, settings, settings, Batch(4, 64, 64), bfloat16=bfloat16, card=True)
    assert needed.activations > 0
    if kind is MixtralConfig and method == "full":
        assert needed.weights == needed.gradients == 4 * MIXTRAL
        assert needed.optimizer == 8 * MIXTRAL
