"""Attention over one row at a time: the numbers of attention under a mask, whatever a model hides within a row."""

from typing import Any

import pytest
import torch

from tasks.training import row_attention
from tasks.training.padding import FLAT_COLLATOR
from tasks.training.row_attention import RowMask, bundled

LENGTHS = (9, 40, 1, 33, 17, 1, 12)


def llama(**fields: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_sizes(), **fields))


def mistral(**fields: Any) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**_sizes(), **fields))


def gemma(**fields: Any) -> Any:
    """Half of its layers have a sliding window."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention", "full_attention"]
    return Gemma3ForCausalLM(Gemma3TextConfig(**_sizes(), head_dim=8, layer_types=kinds, **fields))


def _sizes() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip


def batch() -> dict[str, Any]:
    """Rows of `LENGTHS` on one line."""
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(3, 50, (length,), generator=generator).tolist() for length in LENGTHS]
    return FLAT_COLLATOR([{"input_ids": row, "labels": row} for row in ids])


def trace(model: Any) -> tuple[Any, Any]:
    """Logits of the line, and the gradient of its loss."""
    model.zero_grad()
    given = batch()
    targets = given.pop("labels")[:, 1:]
    logits = model(**given, use_cache=False).logits
    torch.nn.functional.cross_entropy(logits[0, :-1], targets[0]).backward()
    return logits.detach(), torch.cat([value.grad.flatten() for value in model.parameters()])


@pytest.mark.parametrize(
    "model",
    [llama(), mistral(sliding_window=10), gemma(sliding_window=10)],
    ids=["all before", "sliding", "both"],
)
def test_logits_and_gradients_are_those_under_a_mask(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trace(model.train())
    masks = []
    attend = row_attention.attend

    def noting(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        masks.append(attention_mask)
        return attend(module, query, key, value, attention_mask, **options)

    monkeypatch.setattr(row_attention, "attend", noting)
    assert row_attention.use(model)
    actual = trace(model)
    assert len(masks) == 2
    assert all(isinstance(mask, RowMask) and mask.lengths == LENGTHS for mask in masks)
    torch.testing.assert_close(actual[0], expected[0], rtol=1e-5, atol=1e-6)
    assert (actual[1] - expected[1]).norm() < 1e-5 * expected[1].norm()


def test_batches_of_another_form_have_the_attention_that_they_had() -> None:
    model = llama().eval()
    ids = torch.arange(3, 27).view(2, 12)
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    forms: list[dict[str, Any]] = [
        {"input_ids": ids}, {"input_ids": ids, "attention_mask": mask}, {"input_ids": ids[:1]},
        {"input_ids": ids, "position_ids": torch.tensor([[*range(5), *range(7)], [*range(8), *range(4)]])},
    ]  # fmt: skip
    with torch.no_grad():
        expected = [model(**form).logits for form in forms]
        answer = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False)
        assert row_attention.use(model)
        for form, logits in zip(forms, expected, strict=True):
            assert torch.equal(model(**form).logits, logits)
        assert torch.equal(model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False), answer)
    row_attention.leave(model)
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_computes_attention_itself_is_left_as_it_is() -> None:
    model = llama(attn_implementation="eager")
    assert not row_attention.use(model)
    assert model.config._attn_implementation == "eager"


def test_rows_of_a_bundle_are_about_as_long() -> None:
    bundles = bundled(LENGTHS)
    assert sorted(row for rows in bundles for row in rows) == list(range(len(LENGTHS)))
    for rows in bundles:
        lengths = [LENGTHS[row] for row in rows]
        assert min(lengths) >= row_attention.ALIKE * max(lengths)
    assert len(bundled((20,) * 100)) == 1
