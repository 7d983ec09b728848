"""Muon in float32, as a processor without arithmetic for bfloat16 computes it."""

import pytest
import torch

from tasks.training.muon import Muon, WideMuon, orthogonalised

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@pytest.mark.parametrize("shape", [(24, 60), (60, 24)])
def test_singular_values_become_about_one_and_directions_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(3)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalised(matrix, COEFFICIENTS, 5, 1e-7)
    values = left.T @ result @ right.T  # diagonal where the directions are those of `matrix`
    assert (values - values.diag().diag()).abs().max() < 1e-3
    assert 0.3 < float(values.diag().min()) <= float(values.diag().max()) < 1.3


def test_steps_are_those_of_torch_but_for_what_bfloat16_rounds() -> None:
    results, states = [], []
    for kind in (torch.optim.Muon, WideMuon):
        torch.manual_seed(1)
        weight = torch.nn.Parameter(torch.randn(24, 40))
        target = torch.randn(24, 40)
        optimizer = kind([weight], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        start = weight.detach().clone()
        for _ in range(4):
            optimizer.zero_grad()
            ((weight - target) ** 2).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()  # type: ignore[no-untyped-call]
        results.append(weight.detach() - start)
        states.append(optimizer.state_dict())
    assert (results[0] - results[1]).norm() < 0.02 * results[0].norm()
    assert states[0]["param_groups"] == states[1]["param_groups"]
    assert set(states[0]["state"][0]) == set(states[1]["state"][0])


@pytest.mark.parametrize(("multiplies", "kind"), [(True, torch.optim.Muon), (False, WideMuon)])
def test_a_processor_that_multiplies_in_bfloat16_does(
    multiplies: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: multiplies)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    muon = Muon(LlamaForCausalLM(LlamaConfig(vocab_size=16, **sizes)), 0.02, (0.9, 0.99), 1e-8, 0.0)
    assert type(muon.parts[0]) is kind
