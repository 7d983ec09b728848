"""NEFTune: noise of the size that its paper gives, while training and not at evaluation, to the same bytes."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tasks.core.errors import SettingsError
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training.trainer import Trainer
from tests.tasks import tiny
from tests.tasks.train.test_train import SMALL, hashes, kill_and_continue

ALPHA = 5.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tiny.project(tmp_path_factory.mktemp("neftune"), method="none")
    template.run(template.Settings(), paths)
    return paths.root


def noisy(**values: Any) -> Settings:
    return SMALL.model_copy(update={"neftune": ALPHA, "dtype": "float32", **values})


def test_noise_has_the_size_of_the_paper_and_there_is_none_at_evaluation(
    project: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest: list[tuple[float, float]] = []
    evaluated: list[float] = []
    step, evaluate = Trainer.training_step, Trainer.prediction_step

    def noise(model: Any, ids: Any) -> Any:
        layer = model.get_input_embeddings()
        return layer(ids) - layer.weight[ids]

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        model.train()
        with torch.no_grad(), torch.random.fork_rng():
            ids = inputs["input_ids"]
            bound = ALPHA / math.sqrt(ids.shape[1] * 64)
            largest.append((float(noise(model, ids).abs().max()), bound))
            assert len(ids) == 4  # rows stand under each other: the noise is by the tokens of a row
        return step(self, model, inputs, *args, **kwargs)

    def prediction_step(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        evaluated.append(float(noise(model.eval(), inputs["input_ids"]).abs().max()))
        return evaluate(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", training_step)
    monkeypatch.setattr(Trainer, "prediction_step", prediction_step)
    run.train_rows(noisy(), project)
    assert len(largest) == SMALL.steps
    assert all(0.97 * bound < seen <= bound * 1.001 for seen, bound in largest)
    assert evaluated and set(evaluated) == {0.0}


def test_it_acts_and_ends_in_the_same_bytes_after_a_kill(project: Paths) -> None:
    run.tune(noisy(), project)
    first = hashes(project)
    kill_and_continue(lambda: run.tune(noisy(), project), 5)
    assert hashes(project) == first
    run.tune(noisy(neftune=None), project)
    assert hashes(project)["adapter_model.safetensors"] != first["adapter_model.safetensors"]


def test_rows_on_one_line_are_refused(project: Paths) -> None:
    with pytest.raises(
        SettingsError, match=r"train\.padding_free puts several rows into one sequence, which makes train\.neftune"
    ):
        run.tune(noisy(padding_free=True), project)
    template.run(template.Settings(packing=True, max_length=60), project)
    with pytest.raises(
        SettingsError, match=r"template\.packing puts several rows into one sequence, which makes train\.neftune"
    ):
        run.tune(noisy(), project)


def test_there_is_one_way_to_say_it() -> None:
    with pytest.raises(ValidationError, match="neftune_noise_alpha is set by the key neftune"):
        Settings(arguments={"neftune_noise_alpha": 5})
    with pytest.raises(ValidationError, match="greater than 0"):
        Settings(neftune=0)
    assert "neftune" not in Settings().model_dump(mode="json")
