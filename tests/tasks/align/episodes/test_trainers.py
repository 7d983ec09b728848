"""GRPO and GMPO on episodes of a tiny model: rewarded more, the same bytes after a kill, masks that reach the loss."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tasks.align import stage
from tasks.align.episodes import ledger
from tasks.align.settings import Settings
from tasks.core.paths import Paths
from tests.tasks import support, tiny
from tests.tasks.align.episodes.test_play import TEMPLATE
from tests.tasks.align.test_align import hashes
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings.model_validate(
    {
        "objective": "grpo", "start": "train", "steps": 6, "batch_size": 8, "answers": 8, "answer_tokens": 6,
        "learning_rate": 1e-2, "warmup_steps": 1, "threads": 1, "logging_steps": 1, "checkpoint_steps": 2,
        "dtype": "float32", "rewards": [{"kind": "environment"}],
        "episodes": {"environment": "docker.py:Asking", "max_turns": 2, "max_tokens": 60, "held_out": 3},
    }
)  # fmt: skip

settings_with = partial(tiny.changed, SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = support.project(tmp_path_factory.mktemp("episodes"))
    (paths.guides / "docker.py").write_text(Path(__file__).with_name("docker.py").read_text())
    (paths.tokenizer / "chat_template.jinja").write_text(TEMPLATE)
    return paths.root


def test_episodes_are_rewarded_more_and_end_in_the_same_bytes_after_a_kill(project: Paths) -> None:
    settings = settings_with(steps=8, batch_size=32, learning_rate=3e-2, checkpoint_steps=3)
    stage.run(settings, project)
    rewards = support.column(project.aligned / "loss.csv", "reward")
    assert sum(rewards[-3:]) > sum(rewards[:3])
    first = hashes(project)
    assert {ledger.LEDGER, ledger.SUMMARY, "loss.csv", "training.json"} <= set(first)
    rows = pq.read_table(project.aligned / ledger.LEDGER).to_pylist()
    assert [row["when"] for row in rows] == ["held out, before"] * 3 + ["training"] * 8 * 32 + ["held out, after"] * 3
    assert [row["row"] for row in rows[:3]] == [row["row"] for row in rows[-3:]]
    for step, reward in enumerate(rewards, 1):
        of_step = [row["reward"] for row in rows if row["when"] == "training" and row["step"] == step]
        assert sum(of_step) / 32 == pytest.approx(reward, abs=1e-6)
    assert all(row["tokens"] <= 60 and len(row["turns"]) <= 4 for row in rows)
    kill_and_continue(lambda: stage.run(settings, project), 5)
    assert hashes(project) == first
