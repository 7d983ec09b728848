"""An adapter that is trained on a quantised base goes through merge: the merged model is what was trained."""

from pathlib import Path

import pytest
import torch

from tasks.core.paths import Paths
from tasks.merge import stage as merge
from tasks.models.loading import load_model
from tasks.train import run
from tasks.train.settings import Settings
from tests.tasks import support, tiny


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return support.project(tmp_path)


@pytest.mark.parametrize("scheme", ["nf4", pytest.param("fp4", marks=pytest.mark.long)])
def test_what_was_trained_on_four_bits_is_what_is_merged(project: Paths, scheme: str) -> None:
    asked = Settings.model_validate({**support.COMMON, "method": "qlora", "quantization": scheme})
    with support.live(project) as trained:
        run.tune(asked, project)
    record = tiny.read(project.trained / "training.json")
    assert record["quantization"] == {"scheme": scheme, "double_quant": True}
    losses = support.column(project.trained / "loss.csv", "loss")
    assert losses[-1] < losses[0]
    merge.run(merge.Settings(), project)
    assert tiny.read(project.merged / "merge.json")["into"] == f"the base as {scheme} left it"
    with torch.no_grad():
        merged = load_model(project.merged)(input_ids=support.probe(project)).logits
    largest = trained[0].abs().max()
    assert (merged - trained[0]).abs().max() < 1e-3 * largest


def test_eight_bits_are_told_and_merged(project: Paths) -> None:
    run.tune(Settings.model_validate({**support.COMMON, "quantization": "int8", "steps": 3}), project)
    assert tiny.read(project.trained / "training.json")["quantization"] == {"scheme": "int8", "double_quant": False}
    merge.run(merge.Settings(), project)
    assert tiny.read(project.merged / "merge.json")["into"] == "the base as int8 left it"
