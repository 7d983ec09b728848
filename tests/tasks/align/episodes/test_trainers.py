"""GRPO and GMPO on episodes: more goals reached, the same bytes after a kill, masks that reach the loss."""

import itertools
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.align import stage
from tasks.align.episodes import ledger, trainers
from tasks.align.episodes.play import Episode
from tasks.align.settings import Settings
from tasks.core.paths import Paths
from tasks.train import run
from tasks.train.settings import Settings as Train
from tests.flows.project import ROOT
from tests.tasks import support, tiny
from tests.tasks.align.test_align import hashes
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings.model_validate(
    {
        "objective": "grpo", "start": "train", "steps": 2, "batch_size": 32, "answers": 8, "answer_tokens": 16,
        "learning_rate": 2e-3, "warmup_steps": 1, "threads": 1, "logging_steps": 1, "checkpoint_steps": 3,
        "dtype": "float32", "rewards": [{"kind": "environment"}],
        "episodes": {"environment": "docker_world.py:Docker", "max_turns": 2, "max_tokens": 60, "held_out": 3},
    }
)  # fmt: skip

settings_with = partial(tiny.changed, SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that was taught the commands of its rows, though not well, and the simulated Docker."""
    paths = support.project(tmp_path_factory.mktemp("episodes"))
    shutil.copy(ROOT / "data/guides/docker_world.py", paths.guides)
    shutil.rmtree(paths.fitted)
    run.tune(Train.model_validate({**support.COMMON, "method": "full", "steps": 60, "batch_size": 8}), paths)
    return paths.root


@pytest.mark.parametrize("objective", ["grpo", "gmpo"])
def test_replies_have_no_part_in_the_loss(project: Paths, objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the ledger: what the batch says of each token, and the loss with other probabilities for replies."""
    kind = getattr(trainers, objective.upper())
    compute, batches, moved = kind._compute_loss, [], []

    def watched(self: Any, model: Any, inputs: dict[str, Any]) -> Any:
        loss = compute(self, model, inputs)
        batches.append({name: inputs[name].clone() for name in ("completion_ids", "completion_mask", "tool_mask")})
        look = self._get_per_token_logps_and_entropies

        def elsewhere(*args: Any, **kwargs: Any) -> Any:
            probabilities, *rest = look(*args, **kwargs)
            return probabilities - 3.0 * (1 - inputs["tool_mask"]), *rest

        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            patch.setattr(self, "_get_per_token_logps_and_entropies", elsewhere)
            moved.append((loss.item(), compute(self, model, inputs).item()))
        return loss

    monkeypatch.setattr(kind, "_compute_loss", watched)
    stage.run(settings_with(objective=objective), project)
    for loss, other in moved:
        assert loss == pytest.approx(other, abs=1e-7)
    rows = pq.read_table(project.aligned / ledger.LEDGER).to_pylist()
    training = [row for row in rows if row["when"] == ledger.TRAINING]
    assert sum(batch["tool_mask"].eq(0).sum().item() for batch in batches) > 0, "some replies were read"
    written = [int(own.sum()) for batch in batches for own in batch["tool_mask"] * batch["completion_mask"]]
    assert sorted(written) == sorted(row["own_tokens"] for row in training)
    read = [int(own.sum()) for batch in batches for own in batch["completion_mask"]]
    assert sorted(read) == sorted(row["tokens"] for row in training)


def worth(episode: Episode, tokenizer: Any) -> float:
    """What `docker.py:Letters` likes of an episode, by the ids that the model wrote in it."""
    heard = ""
    for own, part in itertools.groupby(zip(episode.mask, episode.ids, strict=True), key=lambda pair: pair[0]):
        if own:
            text = tokenizer.decode([token for _, token in part], skip_special_tokens=True).strip()
            heard += text
    return sum(one in set(episode.opening.reference) for one in heard) / (1 + len(heard))


@pytest.mark.parametrize(
    ("objective", "arguments"),
    [("grpo", {"loss_type": "grpo", "temperature": 0.7}), ("grpo", {"loss_type": "dapo"}), ("gmpo", {})],
)
def test_the_first_gradient_is_that_of_reinforce(
    project: Paths, objective: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worked out apart from the ids of the episodes, one by one and without padding: what they are worth, how much
    better than the others of their prompt that is, and the gradient of their tokens' likelihood by the weights that
    it started from. What the model wrote is as likely as if each token was drawn from all that might come."""
    shutil.copy(Path(__file__).with_name("docker.py"), project.guides)
    kind, steps = getattr(trainers, objective.upper()), []
    step = kind.training_step

    def watched(self: Any, model: Any, *args: Any) -> Any:
        result = step(self, model, *args)
        steps.append(({name: value.grad.clone() for name, value in model.named_parameters()}, self.episodes))
        return result

    monkeypatch.setattr(kind, "training_step", watched)
    episodes = {"environment": "docker.py:Letters", "max_turns": 2, "max_tokens": 60, "held_out": 0}
    changes = {"objective": objective, "steps": 1, "warmup_steps": 0, "episodes": episodes, "arguments": arguments}
    stage.run(settings_with(**changes), project)
    ((gradients, played),) = steps
    model = AutoModelForCausalLM.from_pretrained(project.fitted, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(project.tokenizer)
    values = torch.tensor([worth(episode, tokenizer) for episode in played]).view(-1, 8)
    assert [len({episode.opening.id for episode in played[at : at + 8]}) for at in range(0, 32, 8)] == [1] * 4
    better = ((values - values.mean(1, keepdim=True)) / (values.std(1, keepdim=True) + 1e-4)).flatten()
    own_tokens = sum(sum(episode.mask) for episode in played)
    surprise, expected, spread = 0.0, 0.0, 0.0
    for episode, advantage in zip(played, better, strict=True):
        ids, own = torch.tensor(episode.prompt + episode.ids), torch.tensor(episode.mask) == 1
        likely = model(input_ids=ids[None]).logits[0, len(episode.prompt) - 1 : -1]
        likely = (likely / arguments.get("temperature", 1.0)).log_softmax(-1)
        chosen = likely.gather(1, ids[len(episode.prompt) :, None])[own, 0]
        share = chosen.sum() / own_tokens if arguments.get("loss_type") == "dapo" else chosen.mean() / len(played)
        (-advantage * share).backward()
        entropies = -(likely.exp() * likely).sum(-1)[own].detach()
        surprise += -chosen.sum().item()
        expected += entropies.sum().item()
        spread += ((likely.exp() * likely.square()).sum(-1)[own].detach() - entropies.square()).sum().item()
    assert own_tokens < sum(len(episode.ids) for episode in played), "some replies were read"
    for name, value in model.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad, atol=2e-6, rtol=1e-3)
    assert max(value.abs().max().item() for value in gradients.values()) > 1e-3
    assert abs(surprise - expected) < 2.5 * spread**0.5, "nothing is cut or sharpened where the model writes"


@pytest.mark.long
def test_goals_are_reached_more_often_on_the_simulated_docker(project: Paths) -> None:
    """With the settings of the recipe, a greater rate aside. Each step plays all rows, so steps can be compared."""
    recipe = yaml.safe_load((ROOT / "recipes/episodes.yaml").read_text())["align"]
    settings = settings_with(
        steps=16, batch_size=160, learning_rate=3e-3, warmup_steps=recipe["warmup_steps"], arguments=recipe["arguments"]
    )
    stage.run(settings, project)
    rows = pq.read_table(project.aligned / ledger.LEDGER).to_pylist()
    training = [row for row in rows if row["when"] == ledger.TRAINING]
    assert {row["row"] for row in training if row["step"] == 1} == {row["row"] for row in training}
    first, last = ([row["end"] == "over" for row in training if row["step"] in steps] for steps in ((1, 2), (15, 16)))
    assert sum(last) / len(last) > sum(first) / len(first) + 0.1


@pytest.mark.long
def test_more_is_reached_and_a_kill_changes_no_byte(project: Paths) -> None:
    shutil.copy(Path(__file__).with_name("docker.py"), project.guides)
    episodes = {"environment": "docker.py:Vowels", "max_turns": 2, "max_tokens": 90, "held_out": 3}
    settings = settings_with(steps=16, learning_rate=5e-3, episodes=episodes)
    stage.run(settings, project)
    rewards = support.column(project.aligned / "loss.csv", "reward")
    assert sum(rewards[-4:]) > 1.2 * sum(rewards[:4])
    first = hashes(project)
    assert {ledger.LEDGER, ledger.SUMMARY, "loss.csv", "training.json"} <= set(first)
    rows = pq.read_table(project.aligned / ledger.LEDGER).to_pylist()
    assert [row["when"] for row in rows] == ["held out, before"] * 3 + ["training"] * 16 * 32 + ["held out, after"] * 3
    assert [row["row"] for row in rows[:3]] == [row["row"] for row in rows[-3:]]
    assert sum(row["reward"] for row in rows[-3:]) > 1.2 * sum(row["reward"] for row in rows[:3]), "held out, too"
    for step, reward in enumerate(rewards, 1):
        of_step = [row["reward"] for row in rows if row["when"] == "training" and row["step"] == step]
        assert sum(of_step) / 32 == pytest.approx(reward, abs=1e-6)
    assert all(row["tokens"] <= 90 and len(row["turns"]) <= 6 for row in rows)
    kill_and_continue(lambda: stage.run(settings, project), 5)
    assert hashes(project) == first
