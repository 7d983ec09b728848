"""GRPO and GMPO on episodes: trl's hook for rollouts plays them, and what tools reply has no part in the loss.

Shapes: `B` episodes of a batch, `R` rewards.
"""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tasks.align import sampling
from tasks.align.episodes import ledger
from tasks.align.episodes.play import Episode, Player
from tasks.align.episodes.prompts import Openings
from tasks.align.settings import Settings
from tasks.training.private_trl import Rollouts, generate_turns, likeliest


class Playing(Rollouts):
    """Before a trainer of `sampling` among the bases: answers are episodes, and each stands in the ledger."""

    args: Any
    state: Any
    model: Any
    train_dataset: Any
    reward_funcs: list[Any]
    reward_func_names: list[str]

    def __init__(
        self, *args: Any, player: Player, held_out: Openings, settings: Settings, scratch: Path, **kwargs: Any
    ) -> None:
        """`held_out`: played before and after; `scratch`: where the ledger grows; all else is for trl."""
        super().__init__(*args, **{**kwargs, "rollout_func": lambda prompts, trainer: self.answers()})
        self.player, self.held_out, self.settings, self.scratch = player, held_out, settings, scratch
        self.episodes: list[Episode] = []
        self.round = (0, 0)
        if len(held_out):
            self.add_callback(HeldOut(self))  # type: ignore[attr-defined]

    def answers(self) -> dict[str, Any]:
        """Episodes for what is answered now, as trl takes them from a rollout function."""
        step = self.state.global_step + 1
        self.round = step, self.round[1] + 1 if self.round[0] == step else 0
        openings = [self.train_dataset.openings[item["row"]] for item in self.items]
        self.episodes = self.play(openings, f"{self.settings.seed} {self.round}")
        return {
            "prompt_ids": [episode.prompt for episode in self.episodes],
            "completion_ids": [episode.ids for episode in self.episodes],
            "env_mask": [episode.mask for episode in self.episodes],
            "logprobs": None,
            **facts(self.episodes),
        }

    def play(self, openings: Any, draws: str) -> list[Episode]:
        """An episode for each opening, by the model as it is; `draws` as for `Player.play`."""
        most, stops = self.settings.answer_tokens, self.player.turns.stop_ids
        return self.player.play(openings, lambda prompts: generate_turns(self, prompts, most, stops), draws)

    def rewarded(self, rewards: Any) -> None:
        """See `Rollouts`."""
        step, count = self.round
        self.keep(f"{step:08d}-{count:04d}", ledger.TRAINING, step, self.episodes, rewards.tolist())

    def keep(self, name: str, when: str, step: int, episodes: list[Episode], rewards: list[list[float]]) -> None:
        """Add episodes to the ledger; `rewards` (B, R)."""
        worth = [dict(zip(self.reward_func_names, row, strict=True)) for row in rewards]
        weights = [reward.weight for reward in self.settings.rewards]
        ledger.keep(self.scratch, name, ledger.lines(when, step, episodes, worth, weights))

    def play_held_out(self, name: str, when: str) -> None:
        """Play what is held out, each turn the likeliest one: the same tasks whenever that is."""
        training = self.model.training
        self.model.eval()
        with likeliest(self):
            openings = self.held_out.openings
            at_once = self.settings.batch_size
            episodes = [
                episode
                for start in range(0, len(openings), at_once)
                for episode in self.play(openings[start : start + at_once], f"{self.settings.seed} held out")
            ]
            columns = {
                "prompts": [episode.prompt for episode in episodes],
                "completions": [episode.last for episode in episodes],
                "completion_ids": [episode.ids for episode in episodes],
                "reference": [episode.opening.reference for episode in episodes],
                **facts(episodes),
            }
            rewards = [function(**columns) for function in self.reward_funcs]
        self.model.train(training)
        self.keep(name, when, self.state.global_step, episodes, [list(row) for row in zip(*rewards, strict=True)])


class GRPO(Playing, sampling.GRPO):
    """Group relative policy optimisation (Shao 2024, arXiv:2402.03300) on episodes."""


class GMPO(Playing, sampling.GMPO):
    """GRPO with the geometric mean of an answer's probability ratios (Zhao 2025, arXiv:2507.20673) on episodes."""


class HeldOut(TrainerCallback):  # type: ignore[misc]
    """Plays what is held out before the first step and after the last one."""

    def __init__(self, trainer: Playing) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A run that goes on from a checkpoint has played them."""
        if state.global_step == 0:
            self.trainer.play_held_out(f"{0:08d}-0000", ledger.BEFORE)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After the last step."""
        self.trainer.play_held_out(f"{state.global_step + 1:08d}-0000", ledger.AFTER)


def facts(episodes: list[Episode]) -> dict[str, list[Any]]:
    """What rewards are told of episodes, beside what trl tells them; see `rewards.of_episodes`."""
    return {
        "id": [episode.opening.id for episode in episodes],
        "asked": [episode.prompt for episode in episodes],
        "last": [episode.last for episode in episodes],
        "worth": [episode.worth for episode in episodes],
    }
