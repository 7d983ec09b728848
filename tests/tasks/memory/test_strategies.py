"""What each card holds under each strategy: by hand, and as torch's FSDP2 and DeepSpeed hold it on two processes."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tasks.memory.workloads import Lengths, Training
from tasks.train.settings import Settings
from tests.tasks.memory import sharded

W, H, INNER, V, LAYERS, R = sharded.WIDTH, 32, sharded.INNER, sharded.VOCABULARY, sharded.LAYERS, sharded.RANK
"""Width, width of keys and values, of the inner layer, entries of the vocabulary, layers, rank."""

SHAPES = [(W, W), (H, W), (H, W), (W, W), (INNER, W), (INNER, W), (W, INNER)]
"""Of the matrices of a layer: q, k, v, o, gate, up, down."""

LAYER = sum(rows * width for rows, width in SHAPES) + 2 * W
WEIGHTS = 2 * V * W + LAYERS * LAYER + W
ADAPTER = LAYERS * R * sum(rows + width for rows, width in SHAPES)


@cache
def training(method: str) -> Training:
    settings = Settings.model_validate(
        {
            "method": method,
            "lora": {"r": R},
            "batch_size": 2,
            "gradient_accumulation": 2,
            "padding_free": False,
            "dtype": "float32",
        }
    )
    return Training("train", "train", settings, settings, sharded.config(), Lengths(16, 16, "drawn"), card=False)


def held(method: str, strategy: str, cards: int, *, offload: bool = False) -> dict[str, int]:
    """What a card holds at the end of a pass, by a training whose gradients of an earlier one are there."""
    price = training(method).plan(strategy, cards, offload=offload).price
    return {name: price.parts[name] for name in ("weights", "gradients", "optimizer")}


def test_by_hand_on_two_cards() -> None:
    """Every size but the vocabulary's 1,003 rows is even: FSDP2's first card has 502 of embeddings and head each."""
    uneven = W  # numbers of half a row, twice
    assert held("full", "ddp", 2) == {
        "weights": 4 * WEIGHTS, "gradients": 4 * WEIGHTS, "optimizer": 8 * WEIGHTS,
    }  # fmt: skip
    share = WEIGHTS // 2 + uneven
    assert held("full", "fsdp2", 2) == {
        "weights": 4 * share, "gradients": 4 * share, "optimizer": 8 * share,
    }  # fmt: skip
    share = WEIGHTS // 2
    assert held("full", "zero2", 2) == {
        "weights": 4 * WEIGHTS, "gradients": 4 * share, "optimizer": 12 * share,
    }  # fmt: skip
    assert held("full", "zero3", 2) == {
        "weights": 4 * share, "gradients": 4 * share, "optimizer": 12 * share,
    }  # fmt: skip


def test_an_adapter_of_five_rows_gives_three_of_them_to_the_first_card() -> None:
    first = LAYERS * sum(3 * width + rows // 2 * R for rows, width in SHAPES)
    assert held("lora", "fsdp2", 2) == {
        "weights": 4 * (WEIGHTS // 2 + W + first), "gradients": 4 * first, "optimizer": 8 * first,
    }  # fmt: skip


def test_on_more_cards_than_an_adapter_has_rows_some_hold_one_and_some_none() -> None:
    by_rows, by_numbers = (held("lora", strategy, 512)["gradients"] for strategy in ("fsdp2", "zero3"))
    assert by_rows == 4 * LAYERS * sum(width + R for _, width in SHAPES)
    assert by_numbers < by_rows


@pytest.mark.parametrize("strategy", ["fsdp2", "zero3"])
def test_with_offload_a_card_holds_nothing_all_the_time_and_the_host_what_it_held(strategy: str) -> None:
    here, away = (training("full").plan(strategy, 2, offload=offload) for offload in (False, True))
    assert held("full", strategy, 2, offload=True) == {"weights": 0, "gradients": 0, "optimizer": 0}
    assert (here.host, away.host) == (0, sum(held("full", strategy, 2).values()))
    assert away.price.total < here.price.total


def test_zero2_keeps_its_weights_on_the_card() -> None:
    assert held("full", "zero2", 2, offload=True) == {"weights": 4 * WEIGHTS, "gradients": 0, "optimizer": 0}
    assert training("full").plan("zero2", 2, offload=True).host == 16 * WEIGHTS // 2


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("strategy", "method"),
    [("fsdp2", "full"), ("fsdp2", "lora"), ("zero2", "full"), ("zero3", "full"), ("zero3", "lora")],
)
def test_to_the_byte_what_processes_hold(strategy: str, method: str, tmp_path: Path) -> None:
    if strategy != "fsdp2":
        pytest.importorskip("deepspeed")
    command: list[Any] = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [sharded.__file__, strategy, method, tmp_path]
    environment = {**os.environ, "DS_ACCELERATOR": "cpu"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    processes = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    fullest = {name: max(process[name] for process in processes) for name in processes[0]}
    assert held(method, strategy, 2) == fullest
