"""Objectives that others know and that are not offered here, each with what stands for it."""

NOT_OFFERED = {
    "dapo": "it is a loss of grpo: use grpo with arguments: {loss_type: dapo, epsilon_high: 0.28, num_iterations: 2}",
    "dr_grpo": "it is a loss of grpo: use grpo with arguments: {loss_type: dr_grpo, scale_rewards: none}",
    "gspo": "it is grpo with arguments: {importance_sampling_level: sequence, loss_type: grpo, num_iterations: 2}",
    "reinforce": "rloo is REINFORCE with the other answers to a prompt as its baseline",
    "bco": "trl 1.16 no longer has BCO; use dpo with arguments: {loss_type: bco_pair}",
    "ipo": "it is a loss of dpo: use dpo with arguments: {loss_type: ipo}",
    "xpo": "trl 1.16 no longer has XPO; use online_dpo",
    "nash_md": "trl 1.16 no longer has Nash-MD; use online_dpo",
    "async_grpo": "trl's experimental trainer learns while a vLLM server on other GPUs answers, so no two runs end in "
    "the same bytes; use grpo, with episodes for several turns",
    "harbor": "trl's experimental environments are containers that the package harbor starts, for Python 3.12 and "
    "later; use grpo with episodes.environment",
    "openreward": "trl's experimental environments answer over the network at each turn, so a run cannot be repeated; "
    "use grpo with episodes.environment",
    "prm": "trl 1.16 no longer has process reward models; use reward",
    "seqkd": "it trains on rows that a teacher answered: have generate make such rows, and train on them",
    "uld": "it is the loss of gold; use gold",
    "server_distillation": (
        "trl's trainer asks its server at every step, so an interrupted run pays twice; use distill"
    ),
    "distillation": "in trl it differs from gkd in where answers are generated; use gkd with arguments: {lmbda: 1.0}",
}
"""Objectives by name that others know, and what stands for them here."""
