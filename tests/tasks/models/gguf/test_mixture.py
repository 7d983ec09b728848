"""Types of tensors, worked out by hand from the rules in src/llama-quant.cpp for Llamas of 32 layers."""

from typing import Any

import pytest

from tasks.models.gguf.mixture import MIXTURES, Shape, types

LAYER = {
    "attn_q": (4096, 4096), "attn_k": (1024, 4096), "attn_v": (1024, 4096), "attn_output": (4096, 4096),
    "ffn_gate": (14336, 4096), "ffn_up": (14336, 4096), "ffn_down": (4096, 14336),
}  # fmt: skip
SHAPE = Shape("llama", 32, 0, 4.0)


def chosen(kind: str, model: Shape = SHAPE, **others: tuple[int, ...]) -> dict[str, str]:
    """The types of a Llama of 32 layers."""
    names = {f"blk.{layer}.{name}.weight": shape for layer in range(model.layers) for name, shape in LAYER.items()}
    outer = {"token_embd.weight": (32000, 4096), "output.weight": (32000, 4096), "output_norm.weight": (4096,)}
    return types([*names.items(), *outer.items(), *others.items()], MIXTURES[kind], model)


def layers(kinds: dict[str, str], part: str, kind: str) -> list[int]:
    return [layer for layer in range(32) if kinds[f"blk.{layer}.{part}.weight"] == kind]


MORE = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
"""Layers with more bits in Q4_K_M and Q5_K_M: the first and last eighth, and every third between."""


def test_q4_k_m() -> None:
    kinds = chosen("q4_k_m")
    assert layers(kinds, "attn_v", "Q6_K") == layers(kinds, "ffn_down", "Q6_K") == MORE
    assert len(layers(kinds, "attn_q", "Q4_K")) == len(layers(kinds, "ffn_up", "Q4_K")) == 32
    assert (kinds["output.weight"], kinds["token_embd.weight"]) == ("Q6_K", "Q4_K")
    assert "output_norm.weight" not in kinds


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("q2_k", {"attn_q": "Q2_K", "attn_v": "Q4_K", "attn_output": "Q3_K", "ffn_down": "Q3_K", "ffn_up": "Q2_K"}),
        ("q3_k_s", {"attn_v": "Q3_K", "attn_output": "Q3_K", "ffn_down": "Q3_K"}),
        ("q3_k_m", {"attn_v": "Q4_K", "attn_output": "Q4_K", "ffn_down": "Q4_K", "ffn_gate": "Q3_K"}),
        ("q3_k_l", {"attn_v": "Q5_K", "attn_output": "Q5_K", "ffn_down": "Q5_K", "attn_k": "Q3_K"}),
        ("q5_k_s", {"attn_v": "Q5_K", "ffn_down": "Q5_K"}),
        ("q6_k", {"attn_v": "Q6_K", "attn_output": "Q6_K", "ffn_down": "Q6_K"}),
        ("q4_0", {"attn_v": "Q4_0", "ffn_down": "Q4_0"}),
    ],
)
def test_the_layer_in_the_middle(kind: str, expected: dict[str, str]) -> None:
    kinds = chosen(kind)
    assert {part: kinds[f"blk.16.{part}.weight"] for part in expected} == expected


def test_first_layers() -> None:
    small, medium = chosen("q4_k_s"), chosen("q3_k_m")
    assert layers(small, "attn_v", "Q5_K") == layers(small, "ffn_down", "Q5_K") == [0, 1, 2, 3]
    assert layers(medium, "attn_v", "Q5_K") == layers(medium, "ffn_down", "Q5_K") == [0, 1]


def test_eight_experts_and_falcon() -> None:
    mixtral = chosen("q4_k_m", Shape("llama", 32, 8, 4.0))
    assert {mixtral[f"blk.5.{part}.weight"] for part in ("attn_k", "attn_v")} == {"Q8_0"}
    assert mixtral["blk.5.attn_output.weight"] == "Q5_K"
    assert chosen("q4_k_m", Shape("falcon", 32, 0, 71.0))["output.weight"] == "Q8_0"


def test_rows_that_blocks_do_not_divide_and_what_stays_whole() -> None:
    others: Any = {
        "blk.0.ffn_down_exps.weight": (4, 64, 288), "blk.0.ffn_gate_inp.weight": (4, 4096), "odd.weight": (8, 100),
        "blk.0.ssm_conv1d.weight": (64, 4), "blk.0.attn_q_norm.weight": (32, 128), "blk.0.ssm_a": (64, 16),
    }  # fmt: skip
    kinds = chosen("q4_k_m", **others)
    assert kinds["blk.0.ffn_down_exps.weight"] == "Q8_0"
    assert kinds["odd.weight"] == "F16"
    assert not set(others) & set(kinds) - {"blk.0.ffn_down_exps.weight", "odd.weight"}


def test_embeddings_that_are_the_head_too() -> None:
    tied = types([("token_embd.weight", (32000, 4096))], MIXTURES["q4_k_m"], SHAPE)
    assert tied == {"token_embd.weight": "Q6_K"}
