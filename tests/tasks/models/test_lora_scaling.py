"""LoRA that scales between its two matrices: every number is peft's."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tasks.models.private_peft import lora_linear, scale_between
from tests.families.build import random_model


def tuned(alpha: int, **options: Any) -> Any:
    """A small model with LoRA of rank 8 that changes what it computes."""
    model = random_model("llama")
    torch.manual_seed(1)
    return get_peft_model(
        model, LoraConfig(r=8, lora_alpha=alpha, target_modules="all-linear", init_lora_weights=False, **options)
    )


def numbers(model: Any, bfloat16: bool = False) -> list[Any]:
    """Logits of a batch, and the gradient of each weight of the adapter."""
    model.zero_grad()
    torch.manual_seed(2)
    ids = torch.randint(3, 100, (2, 24))
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = model(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    return [logits, *(value.grad for value in model.parameters() if value.grad is not None)]


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("alpha", [2, 16])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_every_number_is_what_peft_computes(dropout: float, alpha: int, bfloat16: bool) -> None:
    model = tuned(alpha, lora_dropout=dropout).train()
    expected = numbers(model, bfloat16)
    layers = [layer for layer in model.modules() if isinstance(layer, lora_linear())]
    scale_between(model)
    assert all(type(layer) is not lora_linear() for layer in layers)
    actual = numbers(model, bfloat16)
    assert len(actual) == len(expected) == 1 + 2 * len(layers)
    assert all(map(torch.equal, actual, expected))


def test_numbers_of_autocast_are_not_widened_on_their_way_to_a() -> None:
    model = tuned(16).train()
    scale_between(model)
    given = []
    for name, layer in model.named_modules():
        if name.endswith("down_proj.lora_A.default"):
            layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].dtype))
    numbers(model, bfloat16=True)
    numbers(model)
    half = len(given) // 2
    assert given == [torch.bfloat16] * half + [torch.float32] * half
    assert half


def test_what_is_switched_off_or_merged_is_peft_s() -> None:
    models = [tuned(16).eval() for _ in range(2)]
    scale_between(models[1])
    assert models[0].state_dict().keys() == models[1].state_dict().keys()
    for model in models:
        model.disable_adapter_layers()
    assert torch.equal(*(numbers(model)[0] for model in models))
    for model in models:
        model.enable_adapter_layers()
        model.merge_adapter()
    assert torch.equal(*(numbers(model)[0] for model in models))


@pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed")
@pytest.mark.parametrize("options", [{"alpha": 12}, {"alpha": 16, "lora_bias": True}, {"alpha": 16, "use_dora": True}])
def test_other_scales_and_other_kinds_of_lora_are_left_to_peft(options: dict[str, Any]) -> None:
    model = tuned(**options)
    expected = numbers(model)
    scale_between(model)
    assert all(map(torch.equal, numbers(model), expected))
    if "use_dora" not in options:
        assert {type(layer) for layer in model.modules() if isinstance(layer, lora_linear())} == {lora_linear()}
