"""Proximal policy optimisation, on the sampling, the rewards and the reference of trl's RLOO trainer.

Shapes: `B` answers of a batch, `P` tokens of the longest prompt, `C` of the longest answer, `R` rewards. Prompts are
padded on the left, answers on the right; `mask` (B, C) is 1 on the tokens of an answer.

Schulman 2017 (arXiv:1707.06347), as Ziegler 2019 (arXiv:1909.08593) and Ouyang 2022 (arXiv:2203.02155) use it for
language models.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.utils import use_adapter

from tasks.align import values as value_files
from tasks.align.advantages import (
    adapted,
    explained_variance,
    generalized_advantages,
    masked_mean,
    normalized,
    policy_loss,
    token_rewards,
    value_loss,
)
from tasks.align.sampling import Grouped, padded
from tasks.training.private_trl import OwnLoss, answer_rewards, generate, log_figure, look

CHECKS = {
    "gamma": (0.0, 1.0), "lam": (0.0, 1.0), "vf_coef": (0.0, None), "cliprange_value": (0.0, None),
    "kl_target": (0.0, None), "kl_horizon": (0.0, None), "value_learning_rate": (0.0, None),
}  # fmt: skip
"""Bounds of what is PPO's own; None: no upper one."""


@dataclass
class PPOConfig(RLOOConfig):  # type: ignore[misc]
    """The arguments of RLOO, and those that trl's PPO had under the same names."""

    gamma: float = field(default=1.0, metadata={"help": "Discount of a reward per token, 0 to 1."})
    lam: float = field(default=0.95, metadata={"help": "Lambda of generalised advantage estimation (GAE), 0 to 1."})
    vf_coef: float = field(default=0.1, metadata={"help": "Weight of the value loss."})
    cliprange_value: float = field(default=0.2, metadata={"help": "Clip range of the value loss."})
    kl_target: float | None = field(
        default=None,
        metadata={"help": "Target KL from the reference, in nats per answer, that `beta` adapts to; None: fixed."},
    )
    kl_horizon: int = field(default=10000, metadata={"help": "Answers over which `beta` changes by at most a fifth."})
    value_learning_rate: float | None = field(
        default=None, metadata={"help": "Peak learning rate of the value model; None: that of the policy."}
    )
    normalize_advantages: bool = field(
        default=True,
        metadata={"help": "Whether to normalise advantages to mean 0 and deviation 1 over the tokens of a round."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, (low, high) in CHECKS.items():
            value = getattr(self, name)
            if value is not None and (value < low or (high is not None and value > high)):
                bounds = f"from {low:g} to {high:g}" if high is not None else f"{low:g} or more"
                raise ValueError(f"{name} is {value:g}, but must be {bounds}")
        if self.kl_target == 0 or self.kl_horizon == 0:
            raise ValueError("kl_target and kl_horizon must be above 0; remove kl_target for a fixed beta")


class PPO(OwnLoss, Grouped, RLOOTrainer):  # type: ignore[misc]
    """The policy and its value model, trained together on answers of the policy."""

    args: Any
    model: Any

    def __init__(self, *args: Any, value: Any, **kwargs: Any) -> None:
        """`value`: what `tasks.align.values.load` returns; all else is for trl."""
        super().__init__(*args, **kwargs)
        self.value = value.to(self.args.device)
        self.coefficient = float(self.args.beta)
        self.add_callback(_ValueGradients(value, self.args.max_grad_norm))

    @property
    def beside(self) -> list[Any]:
        """Weights that are trained and are no part of the model."""
        return list(self.value.parameters())

    def create_optimizer(self, *args: Any) -> Any:
        """trl's optimiser, which moves the values too."""
        optimizer = super().create_optimizer(*args)
        rate = self.args.value_learning_rate or self.args.learning_rate
        if not any(self.beside[0] is known for group in optimizer.param_groups for known in group["params"]):
            optimizer.add_param_group({"params": self.beside, "lr": rate, "weight_decay": 0.0})
        return optimizer

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The policy, and beside it what tells values."""
        super().save_model(output_dir, _internal_call)
        value_files.save(self.value, self.coefficient, Path(output_dir or self.args.output_dir))

    def restore(self, checkpoint: Path) -> None:
        """See `OwnLoss`."""
        self.coefficient = value_files.restore(self.value, checkpoint)

    def probe(self, index: int, answer_tokens: int, copies: int) -> Any:
        """See `Grouped.probe`; values are computed of the same tokens."""
        ids = self.probe_ids(index, answer_tokens, copies)
        mask = torch.ones_like(ids)
        log_probabilities, _, values = self._read(self.model, ids, mask, answer_tokens)
        return log_probabilities.sum() + values.sum()

    def sampled(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """See `OwnLoss`: the policy answers, and each token of an answer gets its advantage and its return."""
        prompts = [item["prompt"] for item in items]
        prompt_rows, answer_rows, texts = generate(self, prompts)
        device, pad_id = self.args.device, self.processing_class.pad_token_id
        prompt_ids, prompt_mask = (tensor.to(device) for tensor in padded(prompt_rows, pad_id, "left"))
        answer_ids, mask = (tensor.to(device) for tensor in padded(answer_rows, pad_id, "right"))
        if self.args.mask_truncated_completions:
            ended = torch.tensor([row[-1] in (*self.eos_token_ids, pad_id) for row in answer_rows], device=device)
            mask = mask * ended[:, None]
        ids, both = torch.cat([prompt_ids, answer_ids], 1), torch.cat([prompt_mask, mask], 1)
        scores = self._scores(items, prompts, texts, answer_rows)
        with torch.no_grad():
            old, _, old_values = self._in_parts(self.model, ids, both, answer_ids.shape[1], values=True)
            reference = self._reference(ids, both, answer_ids.shape[1]) if self.args.beta else old
            divergences = (old - reference) * mask
            rewards = token_rewards(scores, divergences, mask, self.coefficient)
            advantages = generalized_advantages(rewards, old_values, mask, self.args.gamma, self.args.lam)
            returns = (advantages + old_values) * mask
            if self.args.normalize_advantages:
                advantages = normalized(advantages, mask)
        log_figure(self, "kl", masked_mean(divergences, mask).item())
        log_figure(self, "kl_coefficient", self.coefficient)
        log_figure(self, "explained_variance", explained_variance(old_values, returns, mask).item())
        if self.args.kl_target and self.model.training:
            nats = divergences.sum(1).mean().item()
            self.coefficient = adapted(
                self.coefficient, nats, self.args.kl_target, self.args.kl_horizon, len(answer_rows)
            )
        return {
            "prompt_ids": prompt_ids,
            "prompt_mask": prompt_mask,
            "completion_ids": answer_ids,
            "completion_mask": mask,
            "old_logps": old,
            "old_values": old_values,
            "advantages": advantages,
            "returns": returns,
        }

    def loss(self, model: Any, batch: dict[str, Any]) -> Any:
        """See `OwnLoss`: the clipped loss of the policy, and that of the values."""
        answers, mask = batch["completion_ids"], batch["completion_mask"]
        ids = torch.cat([batch["prompt_ids"], answers], 1)
        both = torch.cat([batch["prompt_mask"], mask], 1)
        log_probabilities, entropies, values = self._read(model, ids, both, answers.shape[1])
        log_ratio = (log_probabilities - batch["old_logps"]) * mask
        low, high = self.epsilon_low, self.epsilon_high
        policy = policy_loss(log_ratio, batch["advantages"], mask, low, high)
        value = value_loss(values, batch["old_values"], batch["returns"], mask, self.args.cliprange_value)
        outside = ((log_ratio.exp() < 1 - low) | (log_ratio.exp() > 1 + high)).float()
        for name, figure in (
            ("policy_loss", policy),
            ("value_loss", value),
            ("entropy", masked_mean(entropies, mask)),
            ("clip_ratio", masked_mean(outside, mask)),
        ):
            log_figure(self, name, figure.item())
        return policy + self.args.vf_coef * value

    def _scores(self, items: Any, prompts: Any, texts: Any, answer_rows: Any) -> Any:
        """What each answer is worth (B,): the rewards, weighed and added up."""
        by_reward = answer_rewards(self, items, prompts, texts, answer_rows)  # (B, R)
        for column, name in enumerate(self.reward_func_names):
            log_figure(self, f"rewards/{name}/mean", by_reward[:, column].mean().item())
        scores = (by_reward * self.reward_weights.to(by_reward.device)).sum(1)
        log_figure(self, "reward", scores.mean().item())
        log_figure(self, "reward_std", scores.std(correction=0).item())
        return scores.clamp(*self.args.reward_clip_range) if self.args.reward_clip_range else scores

    def _reference(self, ids: Any, mask: Any, answer: int) -> Any:
        """Log probabilities (B, C) under the model as it was before training, which trl loads where beta is not 0."""
        if self.ref_model is not None:
            return self._in_parts(self.ref_model, ids, mask, answer)[0]
        adapters = self.accelerator.unwrap_model(self.model)
        with use_adapter(adapters, "ref" if "ref" in adapters.peft_config else None):
            return self._in_parts(self.model, ids, mask, answer)[0]

    def _in_parts(self, model: Any, ids: Any, mask: Any, answer: int, values: bool = False) -> tuple[Any, Any, Any]:
        """As `_read`, in parts as large as a batch of training; `values`: whether to compute them."""
        size = self.args.per_device_train_batch_size
        parts = [
            self._read(model, ids[start : start + size], mask[start : start + size], answer, values)
            for start in range(0, len(ids), size)
        ]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]

    def _read(self, model: Any, ids: Any, mask: Any, answer: int, values: bool = True) -> tuple[Any, Any, Any]:
        """Log probabilities, entropies and values (B, C) of the last `answer` tokens in each row of `ids`."""
        log_probabilities, entropies = look(self, model, ids, mask, answer, entropy=values)
        if not values:
            return log_probabilities, log_probabilities, log_probabilities
        autocast = self.accelerator.autocast() if self.args.bf16 else nullcontext()
        with autocast:  # what is expected before a token is given stands where the token before it is read
            expected = self.value(ids, mask)[:, -answer - 1 : -1]
        return log_probabilities, entropies, expected.float()


class _ValueGradients(TrainerCallback):  # type: ignore[misc]
    """Bounds the gradient of what tells values, and puts it away, as the trainer does with the model's alone."""

    def __init__(self, value: Any, largest: float) -> None:
        self.value, self.largest = value, largest

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before each step of the optimiser."""
        if self.largest:
            torch.nn.utils.clip_grad_norm_(self.value.parameters(), self.largest)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called after each step of the optimiser."""
        self.value.zero_grad(set_to_none=True)
