"""The arithmetic of proximal policy optimisation, a token at a time; nothing here knows a model.

Shapes: `B` answers, `C` tokens of the longest one. `mask` (B, C) is 1 on the tokens of an answer, which fill a row from
its left, and 0 behind them. Log probabilities and divergences are in nats.

Sources: PPO, Schulman 2017 (arXiv:1707.06347); generalised advantages, Schulman 2015 (arXiv:1506.02438); the reward of
a token and the adaptive coefficient, Ziegler 2019 (arXiv:1909.08593); clipped values, Engstrom 2020
(arXiv:2005.12729).
"""

from typing import Any

import torch

ERROR_BOUND = 0.2
"""Largest relative distance to the target of the divergence that one update of its coefficient looks at."""


def token_rewards(scores: Any, divergences: Any, mask: Any, coefficient: float) -> Any:
    """What each token is worth (B, C): its divergence from the reference costs, the last one earns the answer's score.

    `scores` (B,); `divergences` (B, C): log probability under the policy less that under the reference.
    """
    rewards = -coefficient * divergences * mask
    answered = mask.any(dim=1)
    last = mask.sum(dim=1).clamp(min=1).long() - 1  # (B,)
    return rewards.scatter_add(1, last[:, None], (scores * answered)[:, None])


def generalized_advantages(rewards: Any, values: Any, mask: Any, gamma: float, lam: float) -> Any:
    """How much better than expected each token turned out (B, C), 0 behind the answer.

    `rewards` and `values` (B, C): `values[:, t]` is what is expected before token `t` is given. Nothing is expected
    after the last one.
    """
    rewards, values = rewards * mask, values * mask
    advantages = torch.zeros_like(rewards)
    later_advantage = later_value = torch.zeros_like(rewards[:, 0])
    for token in reversed(range(rewards.shape[1])):
        surprise = rewards[:, token] + gamma * later_value - values[:, token]
        later_advantage = (surprise + gamma * lam * later_advantage) * mask[:, token]
        later_value = values[:, token]
        advantages[:, token] = later_advantage
    return advantages


def masked_mean(values: Any, mask: Any) -> Any:
    """The mean over the tokens of answers; 0 where there is none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def normalized(values: Any, mask: Any) -> Any:
    """`values` (B, C) with mean 0 and standard deviation 1 over the tokens of answers, 0 behind them."""
    centred = (values - masked_mean(values, mask)) * mask
    variance = masked_mean(centred**2, mask)
    return centred * torch.rsqrt(variance + 1e-8)


def policy_loss(log_ratio: Any, advantages: Any, mask: Any, low: float, high: float) -> Any:
    """The clipped loss, a number: no gain from a probability that left [1 - low, 1 + high] times what it was."""
    ratio = torch.exp(log_ratio)
    clipped = torch.clamp(ratio, 1 - low, 1 + high)
    return masked_mean(torch.maximum(-advantages * ratio, -advantages * clipped), mask)


def value_loss(values: Any, old_values: Any, returns: Any, mask: Any, clip: float) -> Any:
    """Half the squared error, a number: no gain from a value that moved by more than `clip` since the answer."""
    clipped = old_values + torch.clamp(values - old_values, -clip, clip)
    return 0.5 * masked_mean(torch.maximum((values - returns) ** 2, (clipped - returns) ** 2), mask)


def explained_variance(values: Any, returns: Any, mask: Any) -> Any:
    """1: the values were what came; 0: no better than their mean; below 0: worse."""
    centred = (returns - masked_mean(returns, mask)) * mask
    missed = ((returns - values) - masked_mean(returns - values, mask)) * mask
    return 1 - (missed**2).sum() / (centred**2).sum().clamp(min=1e-8)


def adapted(coefficient: float, divergence: float, target: float, horizon: int, answers: int) -> float:
    """The coefficient after `answers` answers whose mean divergence was `divergence`, in nats an answer.

    It rises where the policy is further from the reference than `target`, and falls where it is nearer; `horizon`
    answers change it by a fifth at most.
    """
    error = min(max(divergence / target - 1, -ERROR_BOUND), ERROR_BOUND)
    return coefficient * (1 + error * answers / horizon)
