"""What an adapter leaves alone and what stays whole in a quantised base, against counts made by hand.

A layer of the tiny Mixtral: attention 2 * 64 * 64 + 2 * 64 * 32 = 12,288 numbers, a router 4 * 64 = 256, and four
experts with 2 * 128 * 64 (gate and up) and 64 * 128 (down) each.
"""

from typing import Any

import pytest

from tasks.core.errors import SettingsError
from tasks.training.coverage import check_low_bits, coverage
from tasks.training.tuning_settings import Tuning
from tests.families.build import _model
from tests.families.configurations import FAMILIES
from tests.tasks import tiny

torch = pytest.importorskip("torch")

ATTENTION, ROUTER, UP, DOWN = 12_288, 256, 4 * 2 * 128 * 64, 4 * 64 * 128
LAYER = ATTENTION + ROUTER + UP + DOWN


@pytest.fixture(scope="module")
def mixture() -> Any:
    return _model(FAMILIES["mixtral"], tiny.tokenizer())


def test_a_quantised_mixture_that_would_stay_whole_is_refused(mixture: Any) -> None:
    skeleton = mixture.to("meta")
    share = f"{ATTENTION / LAYER:.0%}"
    with pytest.raises(SettingsError, match=rf"only {share} of the base's .* such as model.layers.\*.mlp.experts"):
        check_low_bits("train", Tuning(method="qlora"), skeleton)
    check_low_bits("train", Tuning(method="qlora", min_low_bits=0.1), skeleton)
    check_low_bits("train", Tuning(method="lora"), skeleton)


def test_what_an_adapter_leaves_alone_is_named_with_its_share() -> None:
    from peft import LoraConfig, get_peft_model

    model = _model(FAMILIES["mixtral"], tiny.tokenizer())
    tuned = get_peft_model(
        model, LoraConfig(r=2, target_modules=["q_proj", "k_proj"], target_parameters=["experts.down_proj"])
    )
    facts = coverage(tuned)
    assert facts["tuned_share"] == round((64 * 64 + 64 * 32 + DOWN) / LAYER, 4)
    assert facts["left_out"][0] == f"model.layers.*.mlp.experts.gate_up_proj {UP / LAYER:.1%}"
    assert facts["left_out"][-1] == f"model.layers.*.mlp.gate {ROUTER / LAYER:.1%}"
    assert "low_bits_share" not in facts
