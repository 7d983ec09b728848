"""Weights of 16 bits give what float32 weights of the same values give, to the last bit."""

from pathlib import Path
from typing import Any

import pytest

from tasks.models.tuning import load
from tasks.training.adapters import attach
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning
from tests.families.build import build
from tests.tasks import tiny

torch = pytest.importorskip("torch")

IDS = [list(range(3, 40))]


def bits(model: Any) -> dict[str, int]:
    """Numbers that a model holds, by type."""
    held: dict[str, int] = {}
    for weight in model.parameters():
        held[str(weight.dtype)] = held.get(str(weight.dtype), 0) + weight.numel()
    return held


def both(folder: Path, method: str = "lora", **settings: Any) -> tuple[Any, Any]:
    """The model as it is trained, and the same by transformers alone with every weight in float32."""
    from tests.families.oracles import _class

    return load(folder, Tuning(method=method), Optimization(**settings)), _class(folder).from_pretrained(
        folder, dtype=torch.float32
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_and_gradients_are_those_of_float32_weights(tmp_path: Path, dtype: str, tied: bool) -> None:
    tiny.model(tmp_path, vocabulary=320, dtype=dtype, tied=tied, attention_bias=True)
    held, wide = both(tmp_path)
    assert bits(held).keys() == {f"torch.{dtype}", "torch.float32"}
    assert bits(held)[f"torch.{dtype}"] > 0.98 * sum(bits(held).values()), "norms and biases alone are wide"
    for autocast in (False, True):
        results = []
        for model in (held, wide):
            model.requires_grad_(False)
            vectors = model.get_input_embeddings()(torch.tensor(IDS)).detach().requires_grad_()
            assert vectors.dtype == torch.float32
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                logits = model(inputs_embeds=vectors).logits
            logits.float().square().sum().backward()
            results.append((logits, vectors.grad))
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("family", ["gemma3_text", "gpt2", "mixtral", "falcon_h1"])
def test_families_with_layers_of_their_own(tmp_path: Path, family: str) -> None:
    build(family, tmp_path, "bfloat16")
    held, wide = both(tmp_path, dtype="float32")
    with torch.no_grad():
        logits = [model.eval()(input_ids=torch.tensor(IDS), use_cache=False).logits for model in (held, wide)]
    assert "torch.bfloat16" in bits(held)
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-5)
    assert held.config.dtype == torch.float32
    buffers = dict(wide.named_buffers())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in held.named_buffers()), "none was rounded"


def test_some_weights_of_32_bits_keep_them_all(tmp_path: Path) -> None:
    tiny.model(tmp_path, vocabulary=320, dtype="bfloat16")
    mixed = tiny.loaded(tmp_path).bfloat16()
    mixed.model.layers[0].mlp.up_proj.float().weight.data.mul_(1 + 1e-6)
    mixed.model.norm.float().weight.data.add_(1e-6)
    mixed.save_pretrained(tmp_path)
    held, wide = both(tmp_path)
    assert held.model.layers[0].mlp.up_proj.weight.dtype == torch.float32
    assert held.model.layers[0].mlp.down_proj.weight.dtype == torch.bfloat16
    with torch.no_grad():
        assert torch.equal(held.eval()(torch.tensor(IDS)).logits, wide.eval()(torch.tensor(IDS)).logits)


@pytest.mark.parametrize("method", ["full", "pissa", "dora"])
def test_methods_that_change_or_read_weights_have_all_of_them_in_32_bits(tmp_path: Path, method: str) -> None:
    tiny.model(tmp_path, vocabulary=320, dtype="bfloat16")
    held = attach(
        "train", Tuning(method=method), load(tmp_path, Tuning(method=method), Optimization()), [], tmp_path, False
    )
    assert bits(held).keys() == {"torch.float32"}


def test_what_is_trained_has_32_bits_and_starts_alike(tmp_path: Path) -> None:
    folders = [tmp_path / dtype for dtype in ("bfloat16", "float32")]
    tiny.model(folders[0], vocabulary=320, dtype="bfloat16", tied=False)
    tiny.loaded(folders[0]).save_pretrained(folders[1])
    tuning = Tuning.model_validate({"peft": {"modules_to_save": ["embed_tokens", "lm_head"]}})
    weights = []
    for folder in folders:
        torch.manual_seed(0)
        tuned = attach("train", tuning, load(folder, tuning, Optimization()), [], tmp_path, False)
        weights.append({name: weight for name, weight in tuned.named_parameters() if weight.requires_grad})
    assert len(weights[0]) == 2 * 14 + 2
    for name, weight in weights[0].items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, weights[1][name]), name
