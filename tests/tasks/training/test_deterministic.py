"""What CUDA refuses to compute in the same order each time: stood in for, with the same values.

There is no card here, so the refusal is put in the place of the processor's kernels, and then what stands in for them.
"""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.training.deterministic import count_bins, running_sum, stand_in
from tasks.training.loop import prepare
from tasks.training.settings import Optimization
from tests.families.build import build

REFUSAL = "does not have a deterministic implementation"

FAMILIES = {"mixtral": "histc", "qwen3_moe": "histc", "mamba2": "cumsum", "qwen3_next": "cumsum"}
"""A family, and the operation that it needs of those that CUDA refuses."""


@contextmanager
def _refusing() -> Iterator[None]:
    """The processor refuses as CUDA does: counts in bins, and running sums of floats."""
    kind: Any = torch.library.Library
    library = kind("aten", "IMPL")

    def count(numbers: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
        raise RuntimeError(f"_histc_cuda {REFUSAL}")

    def add(numbers: Any, dim: int, *, dtype: Any = None) -> Any:
        if (dtype or numbers.dtype).is_floating_point:
            raise RuntimeError(f"cumsum_cuda_kernel {REFUSAL}")
        return running_sum(numbers, dim, dtype=dtype)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says once that a kernel is replaced
        library.impl("histc", count, "CPU")
        library.impl("cumsum", add, "CPU")
    yield
    del library
    gc.collect()


@contextmanager
def _standing_in() -> Iterator[None]:
    library = stand_in.__wrapped__("CPU")
    yield
    del library
    gc.collect()


def _trained(model: Any) -> tuple[Any, dict[str, Any]]:
    """The loss and the gradients of two rows, as a router's balance counts too."""
    ids = torch.arange(20, 60).reshape(2, 20)
    routes = {"output_router_logits": True} if getattr(model.config, "router_aux_loss_coef", None) else {}
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids, use_cache=False, **routes).loss
    loss.backward()
    return loss.detach(), {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_a_card_would_refuse_is_trained_and_computes_the_same(tmp_path: Path, family: str) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(build(family, tmp_path), dtype=torch.float32).train()
    loss, gradients = _trained(model)
    with _refusing(), pytest.raises(RuntimeError, match=f"{FAMILIES[family]}.* {REFUSAL}"):
        _trained(model)
    with _standing_in():
        ours, same = _trained(model), _trained(model)
    torch.testing.assert_close(ours[0], loss, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours[1], gradients, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours[0], same[0])
    assert all(torch.equal(gradient, same[1][name]) for name, gradient in ours[1].items())


def test_the_kernels_of_a_card_are_replaced_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    monkeypatch.setattr("tasks.training.loop.stand_in", keys.append)
    prepare(Optimization())
    assert keys == ["CUDA"]
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("bins", [1, 5, 8])
@pytest.mark.parametrize(("low", "high"), [(0, 7), (0, 8), (-1, 0.5), (2, 2), (0, 0)])
def test_floats_are_counted_as_torch_counts_them(bins: int, low: float, high: float) -> None:
    numbers = torch.cat([torch.randn(999, generator=torch.Generator().manual_seed(0)) * 3, torch.arange(9.0)])
    counts = count_bins(numbers, bins=bins, min=low, max=high)
    assert torch.equal(counts, torch.histc(numbers, bins=bins, min=low, max=high))
    assert counts.dtype == torch.float32


@pytest.mark.parametrize("experts", [1, 2, 7, 8, 60, 128])
@pytest.mark.parametrize("high", [-1, 0], ids=["to the last expert", "to the number of experts"])
def test_experts_are_counted_one_by_one(experts: int, high: int) -> None:
    """Whole numbers, which PyTorch counts on a card only: against a count by Python."""
    if experts + high <= 0:
        pytest.skip("of one expert there is no range")
    chosen = torch.randint(0, experts, (500,), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    counts = count_bins(chosen, bins=experts, min=0, max=experts + high)
    assert counts.tolist() == [chosen.tolist().count(expert) for expert in range(experts)]
    assert counts.dtype == torch.int32


def test_what_is_outside_of_the_range_is_not_counted() -> None:
    numbers = torch.tensor([-1.0, 0.0, 1.0, float("nan"), 3.0, 3.5, float("inf")])
    assert count_bins(numbers, bins=3, min=0, max=3).tolist() == [1, 1, 1]
    assert count_bins(torch.tensor([]), bins=3, min=0, max=3).tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="must be larger than min"):
        count_bins(numbers, bins=3, min=2, max=1)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 7), (2, 3, 64, 5), (0, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.bool])
def test_running_sums_are_those_of_torch(shape: tuple[int, ...], dtype: Any) -> None:
    numbers = (torch.randn(shape, generator=torch.Generator().manual_seed(2)) * 9).to(dtype)
    for dim in {0, -1, max(len(shape) - 1, 0)}:
        ours, theirs = running_sum(numbers, dim), torch.cumsum(numbers, dim)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
        assert ours.data_ptr() != numbers.data_ptr() or not numbers.numel()
    assert running_sum(numbers, 0, dtype=torch.float32).dtype == torch.float32


def test_numbers_of_16_bits_are_added_in_32() -> None:
    numbers = torch.full((4096,), 1.0, dtype=torch.bfloat16)
    assert running_sum(numbers, 0)[-1] == 4096  # in bfloat16 itself a sum stops at 256


def test_the_gradient_of_a_running_sum_goes_through_it() -> None:
    numbers = torch.randn(4, 9, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(3))
    with _standing_in():
        torch.autograd.gradcheck(lambda values: values.cumsum(-1) ** 2, (numbers,))
