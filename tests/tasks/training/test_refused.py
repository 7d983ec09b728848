"""What a strategy cannot do is refused as the settings are read, with the key to change."""

from typing import Any

import pytest

from tasks.train.settings import Settings
from tasks.training import zero
from tasks.training.launch import Launch


def settings(strategy: str, processes: int = 2, **values: Any) -> Settings:
    return Settings.model_validate({**values, "launch": {"processes": processes, "strategy": strategy}})


@pytest.mark.parametrize("strategy", ["fsdp2", "zero2", "zero3"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quantization": "int8"}, "set quantization to null and method to lora, or strategy to ddp"),
        ({"method": "prompt_tuning"}, "is untested with prompt_tuning"),
        ({"optimizer": "muon"}, "does not shard the states of muon; use one of adamw_torch"),
        ({"optimizer": "adamw_8bit"}, "does not shard the states of adamw_8bit"),
        ({"method": "full", "weights": "bfloat16_kahan"}, "set weights to float32, or strategy to ddp"),
        ({"peft": {"modules_to_save": ["lm_head"]}}, "does not save peft.modules_to_save, which are copies"),
        ({"arguments": {"ddp_bucket_cap_mb": 5}}, "ddp_bucket_cap_mb has no effect with launch.strategy"),
    ],
)
def test_what_was_not_shown_to_work_is_refused(strategy: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(strategy, **values)
    if "arguments" not in values:
        assert settings("ddp", **values).launch.world == 2


@pytest.mark.parametrize("strategy", ["fsdp2", "zero3"])
def test_what_needs_all_weights_is_refused_where_they_are_shared_out(strategy: str) -> None:
    with pytest.raises(ValueError, match="does not work on a quantised base: weights packed by bitsandbytes"):
        settings(strategy, method="qlora")
    with pytest.raises(ValueError, match="is untested with dora; use one of full, freeze, lora"):
        settings(strategy, method="dora")
    assert settings("zero2", method="qlora").quantized == settings("zero2", quantization="nf4").quantized == "nf4"
    assert settings("zero2", method="dora").launch.world == 2


@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
def test_what_deepspeed_alone_does_not_do_is_refused(strategy: str) -> None:
    with pytest.raises(ValueError, match="has no effect with a single process"):
        settings(strategy, processes=1)
    with pytest.raises(ValueError, match="cannot restore the best checkpoint"):
        settings(strategy, patience=2)
    for values in ({"method": "lora_plus"}, {"lora": {"b_ratio": 16}}):
        with pytest.raises(ValueError, match="gives all weights the same learning rate, but lora_plus needs two"):
            settings(strategy, **values)
        assert settings("fsdp2", **values).launch.world == 2
    assert settings("fsdp2", processes=1, patience=2).launch.world == 1


def test_deepspeed_is_configured_with_the_batch_of_all_processes() -> None:
    launch = Launch(processes=4, nodes=2, strategy="zero3", offload=True)
    configured = zero.configuration(Settings(batch_size=3, gradient_accumulation=5, launch=launch), halved=True)
    assert configured is not None
    assert configured["train_batch_size"] == 3 * 5 * 8
    assert configured["zero_optimization"]["offload_param"] == {"device": "cpu"}
    assert configured["torch_autocast"] == {"enabled": True, "dtype": "bfloat16"}
    assert zero.configuration(Settings(), halved=True) is None
