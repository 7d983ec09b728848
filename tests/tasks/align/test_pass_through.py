"""Arguments of trl that alignment passes on: each is seen in what is learned."""

from pathlib import Path
from typing import Any

import pytest

from tasks.align import stage
from tasks.core.paths import Paths
from tests.tasks import support
from tests.tasks.align.test_align import hashes
from tests.tasks.align.test_sampling import settings_with

OFF_POLICY = {"num_iterations": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.project(tmp_path_factory.mktemp("passed")).root


@pytest.mark.parametrize(
    ("objective", "arguments", "beside"),
    [
        ("dpo", {"beta": 0.5}, {}),
        pytest.param("dpo", {"ld_alpha": 0.5}, {}, marks=pytest.mark.long),
        pytest.param("dpo", {"f_divergence_type": "forward_kl"}, {}, marks=pytest.mark.long),
        ("dpo", {"loss_weights": [1.0, 0.2]}, {"loss_type": ["sigmoid", "sft"]}),
        ("kto", {"desirable_weight": 0.5}, {}),
        ("orpo", {"beta": 0.5}, {}),
        ("cpo", {"label_smoothing": 0.2}, {}),
        ("simpo", {"simpo_gamma": 2.0}, {}),
        pytest.param("grpo", {"epsilon": 0.001}, OFF_POLICY, marks=pytest.mark.long),
        pytest.param("grpo", {"sapo_temperature_neg": 9.0}, {"loss_type": "sapo"}, marks=pytest.mark.long),
        pytest.param("rloo", {"normalize_advantages": True}, {}, marks=pytest.mark.long),
        pytest.param("gkd", {"lmbda": 1.0}, {}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_an_argument_that_is_passed_on_acts(
    objective: str, arguments: dict[str, Any], beside: dict[str, Any], project: Paths
) -> None:
    values: dict[str, Any] = {
        "objective": objective, "steps": 4, "batch_size": 8, "answers": 4, "answer_tokens": 4, "warmup_steps": 0,
        "checkpoint_steps": 98, "max_start": 100.0, "learning_rate": 3e-2,
        "teacher": "teacher" if objective == "gkd" else None,
    }  # fmt: skip
    results = []
    for passed in (beside, {**beside, **arguments}):
        stage.run(settings_with(arguments=passed, **values), project)
        results.append(hashes(project)["adapter_model.safetensors"])
    assert results[0] != results[1]
