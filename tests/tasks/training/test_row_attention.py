"""Attention over one row at a time: the numbers of attention under a mask, whatever a model hides within a row."""

from typing import Any

import pytest
import torch

from tasks.training import row_attention
from tasks.training.padding import FLAT_COLLATOR, rows_stay_apart
from tasks.training.row_attention import RowMask, bundled
from tests.families.build import random_model
from tests.families.configurations import FAMILIES

LENGTHS = (9, 40, 1, 33, 17, 1, 12)

OTHERWISE = ("gemma2", "gpt_neo")
"""Families that keep rows apart and have attention of their own kind."""


QUICK = ("llama", "mistral_swa", "gemma3_text", "deepseek_v3")
"""Attention to all before, within a window, either by layer, and with heads of two sizes."""


def batch() -> dict[str, Any]:
    """Rows of `LENGTHS` on one line."""
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(5, 300, (length,), generator=generator).tolist() for length in LENGTHS]
    collated: dict[str, Any] = FLAT_COLLATOR([{"input_ids": row, "labels": row} for row in ids])
    return collated


def trace(model: Any) -> tuple[Any, Any]:
    """Logits of the line, and the gradient of its loss."""
    model.zero_grad()
    given = batch()
    targets = given.pop("labels")[:, 1:]
    logits = model(**given, use_cache=False).logits
    torch.nn.functional.cross_entropy(logits[0, :-1], targets[0]).backward()  # type: ignore[no-untyped-call]
    return logits.detach(), torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])


@pytest.mark.parametrize(
    "family", [*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in FAMILIES if name not in QUICK)]
)
def test_logits_and_gradients_are_those_under_a_mask(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(family)
    items = [
        {"input_ids": row, "labels": row} for row in (batch()["input_ids"][0, :40], batch()["input_ids"][0, 40:90])
    ]
    if not rows_stay_apart(model, items, FLAT_COLLATOR):
        pytest.skip("the model mixes rows under a mask, so that they never share a line")
    expected = trace(model)
    masks = []
    attend = row_attention.attend

    def noting(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        masks.append(attention_mask)
        return attend(module, query, key, value, attention_mask, **options)

    monkeypatch.setattr(row_attention, "attend", noting)
    used = row_attention.use(model)
    assert used is (family not in OTHERWISE)
    actual = trace(model)
    assert bool(masks) is used
    assert all(isinstance(mask, RowMask) and mask.lengths == LENGTHS for mask in masks)
    assert (actual[0] - expected[0]).abs().max() < 1e-5 * expected[0].abs().max()
    assert (actual[1] - expected[1]).norm() < 1e-5 * expected[1].norm()


def test_numbers_of_bfloat16_are_attended_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    exact = trace(model)
    kernel, kinds = torch.nn.functional.scaled_dot_product_attention, set()

    def noting(query: Any, *others: Any, **options: Any) -> Any:
        attended = kernel(query, *others, **options)
        kinds.add((query.dtype, attended.dtype))
        return attended

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noting)
    assert row_attention.use(model)
    with torch.autocast("cpu", torch.bfloat16):
        actual = trace(model)
    assert kinds == {(torch.float32, torch.float32)}
    assert not torch.equal(actual[0], exact[0])  # the rest is bfloat16
    assert (actual[0] - exact[0]).norm() < 0.02 * exact[0].norm()
    assert (actual[1] - exact[1]).norm() < 0.02 * exact[1].norm()


def test_batches_of_another_form_have_the_attention_that_they_had() -> None:
    model = random_model("llama")
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
    for family, kind in (("gemma2", "eager"), ("falcon", "sdpa")):
        model = random_model(family)
        assert not row_attention.use(model)
        assert model.config._attn_implementation == kind


def test_rows_of_a_bundle_are_about_as_long() -> None:
    bundles = bundled(LENGTHS)
    assert sorted(row for rows in bundles for row in rows) == list(range(len(LENGTHS)))
    for rows in bundles:
        lengths = [LENGTHS[row] for row in rows]
        assert min(lengths) >= row_attention.ALIKE * max(lengths)
    assert len(bundled((20,) * 100)) == 1
