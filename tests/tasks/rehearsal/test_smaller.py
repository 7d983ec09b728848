"""The share of a base that bitsandbytes would make smaller, against shares counted in files that it had written."""

from pathlib import Path

import pytest

from tasks.rehearsal.weights import full_size
from tasks.training.coverage import low_bits_share
from tests.families.build import build

COUNTED = {"llama": 1.0, "gpt2": 1.0, "falcon": 0.0, "mixtral": 0.11085, "gpt_oss": 0.19753, "gemma3": 0.94711}
"""Numbers in 4 or 8 bits among those of matrices beside embeddings, in `data/quantized/nf4` of each family."""


@pytest.mark.parametrize("family", COUNTED)
def test_the_share_is_that_of_the_files(tmp_path: Path, family: str) -> None:
    from transformers import AutoConfig

    folder = build(family, tmp_path)
    skeleton = full_size(folder, AutoConfig.from_pretrained(folder), "model")
    assert {weight.device.type for weight in skeleton.parameters()} == {"meta"}
    assert low_bits_share(skeleton) == pytest.approx(COUNTED[family], abs=0.01)
