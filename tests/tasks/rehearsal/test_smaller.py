"""The share of a base that bitsandbytes would make smaller, against what is counted in the files that it writes."""

from pathlib import Path

import pytest

from tasks.models.shards import stored_tensors
from tasks.quantize.schemes import SCHEMES, Calibration
from tasks.quantize.share import low_bits_share as share_of_files
from tasks.rehearsal.weights import full_size
from tasks.training.coverage import low_bits_share
from tests.families.build import build


@pytest.mark.parametrize("family", ["llama", "falcon", "mixtral", "gpt_oss", "gemma3"])
def test_the_share_is_that_of_the_files(tmp_path: Path, family: str) -> None:
    from transformers import AutoConfig

    folder = build(family, tmp_path / "whole")
    SCHEMES["nf4"].write(folder, tmp_path / "nf4", Calibration(list))
    config = AutoConfig.from_pretrained(folder)
    counted = share_of_files(folder, tmp_path / "nf4", config.get_text_config().vocab_size)
    skeleton = full_size(folder, config, "model")
    assert {weight.device.type for weight in skeleton.parameters()} == {"meta"}
    assert low_bits_share(skeleton) == pytest.approx(counted, abs=0.01)


def test_layers_of_gpt2_are_no_linear_ones_and_quantised_all_the_same(tmp_path: Path) -> None:
    from transformers import AutoConfig

    folder = build("gpt2", tmp_path / "whole")
    assert low_bits_share(full_size(folder, AutoConfig.from_pretrained(folder), "model")) == 1.0
    SCHEMES["nf4"].write(folder, tmp_path / "nf4", Calibration(list))
    before, after = stored_tensors(folder), stored_tensors(tmp_path / "nf4")
    whole = [name for name, tensor in before.items() if len(tensor.shape) > 1 and after[name].shape == tensor.shape]
    assert whole == ["transformer.wpe.weight", "transformer.wte.weight"]
