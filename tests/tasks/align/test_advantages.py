"""The arithmetic of PPO against numbers worked by hand."""

import math
from typing import Any

import pytest
import torch

from tasks.align import advantages as ppo

MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


def near(value: Any, expected: Any) -> None:
    torch.testing.assert_close(value, torch.as_tensor(expected, dtype=value.dtype), atol=1e-6, rtol=0)


def test_divergence_costs_each_token_and_the_last_one_earns_the_score() -> None:
    scores, divergences = torch.tensor([2.0, -1.0]), torch.tensor([[0.5, -0.25, 1.0], [1.0, 2.0, 99.0]])
    near(ppo.token_rewards(scores, divergences, MASK, 0.1), [[-0.05, 0.025, 1.9], [-0.1, -1.2, 0.0]])


def test_an_answer_without_a_token_earns_nothing() -> None:
    mask = torch.tensor([[0, 0]])
    near(ppo.token_rewards(torch.tensor([5.0]), torch.ones(1, 2), mask, 0.1), [[0.0, 0.0]])


def test_advantages_by_hand() -> None:
    # gamma 0.9, lambda 0.5: the surprises are
    #   answer 1: 0 + 0.9 * 0.4 - 0.2 = 0.16; 0 + 0.9 * 0.6 - 0.4 = 0.14; 1 - 0.6 = 0.4
    #   answer 2: 0.5 + 0.9 * 0.2 - 0.1 = 0.58; -1 - 0.2 = -1.2
    # and each advantage is its surprise and 0.45 times the one after it.
    rewards = torch.tensor([[0.0, 0.0, 1.0], [0.5, -1.0, 7.0]])
    values = torch.tensor([[0.2, 0.4, 0.6], [0.1, 0.2, 9.0]])
    third, second = 0.4, 0.14 + 0.45 * 0.4
    expected = [[0.16 + 0.45 * second, second, third], [0.58 + 0.45 * -1.2, -1.2, 0.0]]
    near(ppo.generalized_advantages(rewards, values, MASK, 0.9, 0.5), expected)


def test_with_lambda_one_advantages_are_what_came_less_what_was_expected() -> None:
    rewards, values = torch.randn(2, 3) * MASK, torch.randn(2, 3) * MASK
    to_come = rewards.flip(1).cumsum(1).flip(1)
    near(ppo.generalized_advantages(rewards, values, MASK, 1.0, 1.0), (to_come - values) * MASK)


def test_advantages_are_brought_to_mean_0_and_deviation_1_over_the_tokens_of_answers() -> None:
    # 1, 2, 3, 4, 5: mean 3, variance 2
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 100.0]])
    step = 1 / math.sqrt(2)
    near(ppo.normalized(values, MASK), [[-2 * step, -step, 0.0], [step, 2 * step, 0.0]])


def test_the_loss_of_the_policy_by_hand() -> None:
    # ratios 2, 0.5, 1 and 1.1, 3; bounds 0.8 and 1.2; the losses are
    #   A = 1: -min(2, 1.2) = -1.2;  A = -1: max(0.5, 0.8) = 0.8;  A = 2: -2
    #   A = 1: -1.1;  A = -2: max(6, 2.4) = 6: a bad answer that became likelier is followed without bound
    log_ratio = torch.log(torch.tensor([[2.0, 0.5, 1.0], [1.1, 3.0, 5.0]]))
    advantages = torch.tensor([[1.0, -1.0, 2.0], [1.0, -2.0, 50.0]])
    near(ppo.policy_loss(log_ratio, advantages, MASK, 0.2, 0.2), (-1.2 + 0.8 - 2 - 1.1 + 6) / 5)


def test_the_loss_of_the_values_by_hand() -> None:
    # clip 0.2; value, before, return -> half the larger of the two squares
    #   1.0, 0.5, 1.0: (0)^2 against (0.7 - 1)^2 = 0.09;  0.6, 0.5, 1.0: 0.16 both;  0.0, 0.5, 1.0: 1 against 0.49
    #   2.0, 2.0, 0.0: 4;  1.0, 1.0, 1.0: 0
    values = torch.tensor([[1.0, 0.6, 0.0], [2.0, 1.0, 9.0]])
    before = torch.tensor([[0.5, 0.5, 0.5], [2.0, 1.0, 9.0]])
    returns = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    near(ppo.value_loss(values, before, returns, MASK, 0.2), 0.5 * (0.09 + 0.16 + 1 + 4 + 0) / 5)


def test_how_well_values_tell_what_comes() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]])
    near(ppo.explained_variance(returns, returns, MASK), 1.0)
    near(ppo.explained_variance(torch.full_like(returns, 3.0), returns, MASK), 0.0)
    assert ppo.explained_variance(-returns, returns, MASK) < 0


@pytest.mark.parametrize(
    ("divergence", "expected"),
    [(6.0, 0.1), (60.0, 0.1 * (1 + 0.2 * 100 / 1000)), (0.0, 0.1 * (1 - 0.2 * 100 / 1000)), (6.6, 0.1 * 1.01)],
)
def test_the_coefficient_follows_the_divergence(divergence: float, expected: float) -> None:
    assert ppo.adapted(0.1, divergence, 6.0, 1000, 100) == pytest.approx(expected)
