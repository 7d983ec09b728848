"""Plans on paper: what fits on which cards, by numbers that are worked out by hand from the shapes of Llama."""

import re
from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError
from transformers import LlamaConfig

from benchmarks.published import MODELS
from tasks.memory import plans
from tasks.memory.cluster import parse
from tasks.memory.plans import compare, least_cards
from tasks.memory.workloads import Lengths, Training
from tasks.train.settings import Settings
from tasks.training.launch import Launch

GIB = 2**30

BLOCK_8B = 4096 * (2 * 4096 + 2 * 1024 + 3 * 14336) + 2 * 4096
BLOCK_70B = 8192 * (2 * 8192 + 2 * 1024 + 3 * 28672) + 2 * 8192
LLAMA_8B = 2 * 128256 * 4096 + 32 * BLOCK_8B + 4096
LLAMA_70B = 2 * 128256 * 8192 + 80 * BLOCK_70B + 8192
ADAPTER_70B = 80 * 16 * (2 * (8192 + 8192) + 2 * (8192 + 1024) + 3 * (8192 + 28672))


@cache
def training(model: str, method: str, tokens: int = 2048, **changes: Any) -> Training:
    """Rows of so many tokens, one at a time, with activations computed again; `changes`: of the configuration."""
    config = LlamaConfig(**MODELS[model] | changes, dtype="bfloat16", tie_word_embeddings=False)
    settings = Settings.model_validate(
        {"method": method, "batch_size": 1, "gradient_checkpointing": True, "padding_free": False}
    )
    return Training("train", "train", settings, settings, config, Lengths(tokens, tokens, "on paper"))


def verdict(plan: Training, cards: str, capsys: pytest.CaptureFixture[str], ram: int = 0) -> tuple[list[str], str]:
    """The lines that are printed, and the sentence of what does not fit."""
    faults = list(compare(plan, parse(cards), ram))
    return capsys.readouterr().out.splitlines(), "".join(faults)


def offload_is_offered() -> bool:
    try:
        return Launch(offload=True).offload
    except ValidationError:
        return False


def fits(lines: list[str]) -> list[str]:
    last = re.fullmatch(r"train: fits by ([a-z0-9, ]+): temper run .*", lines[-1])
    return last[1].split(", ") if last else []


def test_8b_in_full_on_eight_cards_of_24_gib(capsys: pytest.CaptureFixture[str]) -> None:
    plan = training("Llama 3.1 8B", "full")
    lines, fault = verdict(plan, "24GB x 8", capsys)
    assert fits(lines) == ["fsdp2"]  # DeepSpeed's weights once more take 4 bytes each: 3.74 GiB of a card
    assert not fault
    assert lines[-1].endswith(
        "--set train.launch.strategy=fsdp2 --set train.launch.processes=8 --set train.launch.nodes=1"
    )
    shares = plan.plan("fsdp2", 8).price
    embedding = 128256 * 4096
    assert shares.weights == 4 * LLAMA_8B // 8
    assert shares.optimizer == 8 * LLAMA_8B // 8
    assert shares.gradients == 4 * (LLAMA_8B - embedding) // 8  # at the end of a pass, where only its own are to come
    assert shares.gathered == 4 * embedding
    assert all(len(line) <= 100 for line in lines[:-1])


@pytest.mark.long
def test_70b_by_lora_on_two_cards_of_80_gib(capsys: pytest.CaptureFixture[str]) -> None:
    plan = training("Llama 3.3 70B", "lora")
    lines, fault = verdict(plan, "80GB x 2", capsys)
    assert fits(lines) == ["fsdp2", "zero3"]
    assert not fault
    shares = plan.plan("fsdp2", 2).price
    norms = 161 * 8192
    assert shares.weights == (2 * (LLAMA_70B - norms) + 4 * (norms + ADAPTER_70B)) // 2  # 66.10 GiB
    assert (shares.gradients, shares.optimizer) == (0, 8 * ADAPTER_70B // 2)  # none has come where most is kept
    of_norms, of_adapter = 2 * 8192, ADAPTER_70B // 80
    assert shares.gathered == 2 * (2 * (BLOCK_70B - of_norms) + 4 * (of_norms + of_adapter))  # a block and the next


@pytest.mark.long
def test_70b_in_full_on_sixteen_cards_of_80_gib_does_not_fit_and_on_seventeen_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = training("Llama 3.3 70B", "full")
    lines, fault = verdict(plan, "80GB x 8 x 2", capsys, ram=1024 * GIB)
    assert not fits(lines)
    shares = plan.plan("fsdp2", 16)
    assert shares.price.weights + shares.price.gradients + shares.price.optimizer == LLAMA_70B  # 65.71 GiB
    assert shares.price.activations == 4 * LLAMA_70B // 16  # AdamW for all weights of a card at one time: 16.43 GiB
    assert fault.startswith("train: no strategy fits, a card has 80.00 GiB; ")
    assert ("offload to the hosts by fsdp2, zero3" in fault) == offload_is_offered()
    assert "use 17 of these GPUs instead of 16" in fault
    assert f"  each host, fsdp2: 8 x 65.71 GiB = {8 * LLAMA_70B / GIB:.2f} GiB, fits into 1024.00 GiB" in lines
    assert least_cards(plan, 80 * GIB) == 17


@pytest.mark.long
def test_where_a_host_has_too_little_offload_is_no_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    lines, fault = verdict(training("Llama 3.3 70B", "full"), "80GB x 8 x 2", capsys, ram=512 * GIB)
    assert "offload" not in fault
    assert any("does not fit into 512.00 GiB" in line for line in lines)


@pytest.mark.long
def test_what_makes_70b_in_full_fit_on_sixteen_cards_is_fewer_bytes_a_weight_and_not_shorter_rows() -> None:
    plan = training("Llama 3.3 70B", "full", 512)
    fused: Any = plan.tuned.model_copy(update={"optimizer": "adamw_torch_fused"})
    assert plan.plan("fsdp2", 16, fused).price.total > 80 * GIB
    rounded: Any = plan.tuned.model_copy(update={"weights": "bfloat16_stochastic"})
    shares = plan.plan("fsdp2", 16, rounded).price
    norms = 161 * 8192
    assert shares.weights == (2 * (LLAMA_70B - norms) + 4 * norms) // 16
    assert shares.total < 80 * GIB


def test_what_the_settings_refuse_is_no_way_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = training("Llama 3.1 8B", "full", num_hidden_layers=1)
    monkeypatch.setattr(plans, "_refusal", lambda _training, _settings, strategy, _cluster: strategy != "ddp" and "no")
    lines, fault = verdict(plan, "1GB x 8", capsys)
    assert "  fsdp2 is not offered here: no" in lines
    assert "no strategy that is offered here fits" in fault
    assert "no number of these GPUs is enough" in fault  # by ddp each holds all


def test_where_the_parts_at_work_do_not_fit_no_number_of_cards_does() -> None:
    whole = training("Llama 3.1 8B", "full", num_hidden_layers=1)
    assert least_cards(whole, 2 * GIB) is None
    assert least_cards(whole, 80 * GIB) == 1
