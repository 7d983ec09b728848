"""Every objective of alignment by its name, one entry each: what it learns from, its losses, and trl's trainer for it.

To add one: an entry here, and its trainer in `trainers` (answers that are there) or `sampling` (answers that the model
gives while it is trained). All else reads the entry. Trainers and rows are named as "module:name", and loaded when a
stage runs: trl and torch take seconds, and settings are checked without them.
"""

from tasks.align.objective import (
    Objective,
    on_rows,
    one_pass_a_step,
    own_teacher,
    saved_whole,
    whole_groups,
    whole_groups_and_values,
)

OBJECTIVES = {
    "off": Objective("nothing; later stages use the model from `train`"),
    "dpo": Objective(
        "pairs of a chosen and a rejected answer",
        "tasks.align.trainers:DPO",
        "trl.trainer.dpo_config:DPOConfig",
        losses=(
            "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
            "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
        ),
        mixes_losses=True,
        measured_alone=("bco_pair", "aot", "aot_unpaired", "sft"),
        uses_reference=True,
    ),
    "kto": Objective(
        "answers rated good or bad; if there are none, each pair counts as one good and one bad answer",
        "tasks.align.trainers:KTO",
        "trl.trainer.kto_config:KTOConfig",
        "tasks.align.items:judged",
        losses=("kto", "apo_zero_unpaired"),
        measured_alone=("default", "kto"),
        uses_reference=True,
        judged=True,
    ),
    "orpo": Objective(
        "pairs of answers, without a reference model",
        "tasks.align.trainers:ORPO",
        "tasks.training.private_trl:ORPOConfig",
        "tasks.align.items:labelled",
        measured_alone=("default",),
    ),
    "cpo": Objective(
        "pairs of answers, without a reference model, plus the usual loss on chosen answers",
        "tasks.align.trainers:CPO",
        "tasks.training.private_trl:CPOConfig",
        "tasks.align.items:labelled",
        losses=("sigmoid", "hinge", "ipo", "simpo", "alphapo"),
        measured_alone=("default", "sigmoid", "hinge", "ipo", "simpo"),
    ),
    "simpo": Objective(
        "pairs of answers, by their likelihood per token, without a reference model",
        "tasks.align.trainers:CPO",
        "tasks.training.private_trl:CPOConfig",
        "tasks.align.items:labelled",
        preset={"loss_type": "simpo", "cpo_alpha": 0.0},
    ),
    "reward": Objective(
        "pairs of answers; trains a reward model, which scores answers",
        "tasks.align.trainers:Reward",
        "trl.trainer.reward_config:RewardConfig",
        "tasks.align.items:whole",
        trains_reward_model=True,
        check=saved_whole,
    ),
    "grpo": Objective(
        "several generated answers to each prompt, scored by `rewards`",
        "tasks.align.sampling:GRPO",
        "trl.trainer.grpo_config:GRPOConfig",
        losses=("dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
        uses_reference=True,
        episodic="tasks.align.episodes.trainers:GRPO",
        grouped=True,
        uses_rewards=True,
        by_engine=True,
        check=whole_groups,
    ),
    "gmpo": Objective(
        "as grpo, with the geometric mean of the tokens' probability ratios: more stable if answers are reused",
        "tasks.align.sampling:GMPO",
        "tasks.training.private_trl:GMPOConfig",
        uses_reference=True,
        episodic="tasks.align.episodes.trainers:GMPO",
        grouped=True,
        uses_rewards=True,
        by_engine=True,
        check=whole_groups,
    ),
    "rloo": Objective(
        "several generated answers to each prompt, each compared with the others, scored by `rewards`",
        "tasks.align.sampling:RLOO",
        "trl.trainer.rloo_config:RLOOConfig",
        uses_reference=True,
        grouped=True,
        uses_rewards=True,
        by_engine=True,
        check=whole_groups,
    ),
    "ppo": Objective(
        "generated answers, token by token, by `rewards` and estimates of their value",
        "tasks.align.ppo:PPO",
        "tasks.align.ppo:PPOConfig",
        preset={"num_iterations": 4},
        uses_reference=True,
        grouped=True,
        uses_rewards=True,
        uses_values=True,
        one_process=True,
        by_engine=True,
        check=whole_groups_and_values,
    ),
    "online_dpo": Objective(
        "two generated answers to each prompt, ranked by `rewards`",
        "tasks.align.sampling:OnlineDPO",
        "tasks.training.private_trl:OnlineDPOConfig",
        losses=("sigmoid", "ipo"),
        uses_reference=True,
        uses_rewards=True,
        one_process=True,
        check=one_pass_a_step,
    ),
    "gkd": Objective(
        "generated answers and those of the rows, with the token probabilities of `teacher` as the target",
        "tasks.align.sampling:GKD",
        "tasks.training.private_trl:GKDConfig",
        uses_teacher=True,
        one_process=True,
    ),
    "gold": Objective(
        "as gkd, but `teacher` may have another tokenizer",
        "tasks.align.gold:GOLD",
        "tasks.training.private_trl:GOLDConfig",
        preset={
            "use_uld_loss": True, "uld_token_merge_strategy": "bayesian", "uld_skip_student_eos": False,
            "uld_skip_teacher_eos": False,
        },
        uses_teacher=True,
        other_tokens=True,
        one_process=True,
        check=on_rows,
    ),
    "sdft": Objective(
        "generated answers, with the model's own probabilities when it sees the reference as the target",
        "tasks.align.self_taught:SDFT",
        "tasks.training.private_trl:SDFTConfig",
        preset={
            "teacher_model_kind": "live",
            "teacher_prompt_template": (
                "{prompt}\n\nThis is an example for a response to the question:\n{privileged_context}\n\n"
                "Now answer with a response of your own."
            ),
        },
        grouped=True,
        self_taught=True,
        one_process=True,
        check=own_teacher,
    ),
    "distill": Objective(
        "the rows, with the token probabilities from the stage `distill` as the target",
        "tasks.align.distilled:Distilled",
        "tasks.align.distilled:DistillConfig",
        "tasks.align.distilled:item",
        uses_distilled=True,
        one_process=True,
    ),
}  # fmt: skip
"""Objectives in the order in which they are listed."""
