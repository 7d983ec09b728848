"""Arguments of trl that alignment passes on, by objective; what all trainers share is in `tasks.training.pass_through`.

A test goes through the fields of every configuration, and trains with and without each argument that costs seconds.
"""

from collections.abc import Mapping
from typing import Any

from tasks.training.pass_through import ACTING, TOGETHER, WATCHING

OWNED = {
    "max_completion_length": "answer_tokens",
    "max_new_tokens": "answer_tokens",
    "num_generations": "answers",
    "num_generations_eval": "answers",
    "reward_weights": "rewards",
    "teacher_model_name_or_path": "teacher",
    "teacher_tokenizer_name_or_path": "teacher",
}
"""Arguments of trl that have a key of their own in align."""

_ALIKE = (*ACTING, "disable_dropout")
_ORDER = ("train_sampling_strategy",)
_PAIRS = (*_ALIKE, *WATCHING, *_ORDER, "beta", "pad_to_multiple_of", "router_aux_loss_coef", "activation_offloading")
_CPO = (*_ALIKE, *WATCHING, *_ORDER, "beta")
_DRAWN = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "cache_implementation", "generation_kwargs")
_GROUPS = (
    *_ALIKE, *_DRAWN, "beta", "epsilon", "epsilon_high", "generation_batch_size", "steps_per_generation",
    "num_iterations", "mask_truncated_completions", "pad_to_multiple_of", "router_aux_loss_coef",
)  # fmt: skip

ALIGNED: dict[str, tuple[str, ...]] = {
    "off": (),
    "dpo": (
        *_PAIRS, "loss_type", "loss_weights", "label_smoothing", "f_divergence_type", "f_alpha_divergence_coef",
        "discopop_tau", "ld_alpha", "use_weighting",
    ),
    "kto": (*(name for name in _PAIRS if name not in _ORDER), "loss_type", "desirable_weight", "undesirable_weight"),
    "orpo": _CPO,
    "cpo": (*_CPO, "loss_type", "label_smoothing", "cpo_alpha", "simpo_gamma", "alpha"),
    "simpo": (*_CPO, "cpo_alpha", "simpo_gamma"),
    "reward": (
        *_ALIKE, *WATCHING, *_ORDER, "pad_to_multiple_of", "activation_offloading", "center_rewards_coefficient",
    ),
    "grpo": (
        *_GROUPS, "loss_type", "delta", "importance_sampling_level", "scale_rewards", "multi_objective_aggregation",
        "off_policy_mask_threshold", "top_entropy_quantile", "use_bias_correction_kl",
        "entropy_coef", "use_adaptive_entropy", "entropy_coef_delta", "entropy_coef_max", "entropy_coef_min",
        "entropy_target", "sapo_temperature_neg", "sapo_temperature_pos", "vespo_k_neg", "vespo_k_pos",
        "vespo_lambda_neg", "vespo_lambda_pos",
    ),
    "gmpo": (
        *(name for name in _GROUPS if name != "router_aux_loss_coef"), "scale_rewards", "multi_objective_aggregation",
        "top_entropy_quantile",
    ),
    "rloo": (*_GROUPS, "normalize_advantages", "reward_clip_range"),
    "ppo": (
        *(name for name in _GROUPS if name not in ("pad_to_multiple_of", "router_aux_loss_coef")),
        "normalize_advantages", "reward_clip_range", "gamma", "lam", "vf_coef", "cliprange_value",
        "kl_target", "kl_horizon", "value_learning_rate",
    ),
    "online_dpo": (*_ALIKE, *_DRAWN, *_ORDER, "beta", "loss_type", "missing_eos_penalty"),
    "gkd": (*_ALIKE, *_ORDER, "beta", "lmbda", "seq_kd", "temperature", "activation_offloading"),
    "gold": (
        *_ALIKE, "lmbda", "temperature", "top_k", "top_p", "activation_offloading", "beta", "use_extended_uld",
        "uld_use_hybrid_loss", "uld_hybrid_matched_weight", "uld_hybrid_unmatched_weight", "uld_crossentropy_weight",
        "uld_distillation_weight", "uld_student_temperature", "uld_teacher_temperature",
    ),
    "sdft": (
        *_ALIKE, *_DRAWN, "num_iterations", "steps_per_generation", "generation_batch_size", "distillation_add_tail",
        "distillation_alpha", "distillation_is_clip", "distillation_mode", "distillation_topk", "generate_from_teacher",
        "num_loss_tokens_to_skip", "teacher_model_kind", "teacher_prompt_template",
    ),
    "distill": (*ACTING, *WATCHING, *_ORDER, "activation_offloading", "label_weight"),
}  # fmt: skip
"""What acts, by objective."""

NOT_READ: dict[str, str] = {
    **dict.fromkeys(TOGETHER, "alignment trains in one process"),
    **dict.fromkeys(WATCHING, "there is no validation loss if the model generates the answers"),
    "label_smoothing_factor": "it smooths the labels of rows; dpo and cpo have label_smoothing",
    "train_sampling_strategy": "the order of its rows is fixed",
    "pad_to_multiple_of": "rows are padded to the longest of a batch",
    "router_aux_loss_coef": "the objective has no load-balancing loss for experts",
    "max_prompt_length": "template.max_length limits the rows, and nothing is truncated here",
    **dict.fromkeys(("teacher_sync_steps", "teacher_update_rate"), "the teacher has the model's own weights"),
    "use_teacher_server": "answers are generated, and scored, in this process",
    "seq_kd": "gold's teacher never generates; make rows with generate, and train on them",
    "generation_batch_size": "all answers of a step are generated together",
    **dict.fromkeys(
        ("use_uld_loss", "uld_token_merge_strategy", "uld_skip_student_eos", "uld_skip_teacher_eos"),
        "other values make gold compare the wrong tokens, or ignore where an answer ends",
    ),
    **dict.fromkeys(
        ("loss_type", "alpha", "label_smoothing"), "the objective has a single loss, which does not use it"
    ),
    **dict.fromkeys(
        (
            "delta",
            "importance_sampling_level",
            "off_policy_mask_threshold",
            "use_bias_correction_kl",
            "entropy_coef",
            "use_adaptive_entropy",
            "entropy_coef_delta",
            "entropy_coef_max",
            "entropy_coef_min",
            "entropy_target",
            "sapo_temperature_neg",
            "sapo_temperature_pos",
            "vespo_k_neg",
            "vespo_k_pos",
            "vespo_lambda_neg",
            "vespo_lambda_pos",
        ),
        "the objective has a single loss, which does not use it",
    ),
}
"""Arguments that some objectives do not read, though their configurations have them, and why."""

_ADAPTIVE = ("use_adaptive_entropy", (True,))
_DEFAULT = {"dpo": "sigmoid", "cpo": "sigmoid", "simpo": "simpo", "grpo": "dapo", "sdft": "topk_logits"}

NEEDS: dict[str, dict[str, tuple[str, tuple[Any, ...]]]] = {
    "dpo": {
        "label_smoothing": ("loss_type", ("exo_pair", "robust", "aot", "aot_unpaired")),
        "loss_weights": ("loss_type", ()),
        "discopop_tau": ("loss_type", ("discopop",)),
        "f_alpha_divergence_coef": ("f_divergence_type", ("alpha_divergence",)),
    },
    "cpo": {
        "label_smoothing": ("loss_type", ("sigmoid", "simpo", "alphapo")),
        "simpo_gamma": ("loss_type", ("simpo", "alphapo")),
        "alpha": ("loss_type", ("alphapo",)),
    },
    "sdft": dict.fromkeys(("distillation_topk", "distillation_add_tail"), ("distillation_mode", ("topk_logits",))),
    "gold": dict.fromkeys(
        ("beta", "uld_hybrid_matched_weight", "uld_hybrid_unmatched_weight"), ("uld_use_hybrid_loss", (True,))
    ),
    "grpo": {
        **dict.fromkeys(("sapo_temperature_neg", "sapo_temperature_pos"), ("loss_type", ("sapo",))),
        **dict.fromkeys(
            ("vespo_k_neg", "vespo_k_pos", "vespo_lambda_neg", "vespo_lambda_pos"), ("loss_type", ("vespo",))
        ),
        **dict.fromkeys(
            ("entropy_coef_delta", "entropy_coef_max", "entropy_coef_min", "entropy_target"), _ADAPTIVE
        ),
    },
}  # fmt: skip
"""Arguments that act beside certain values of another one, by objective; (): beside a list of values."""


SEVERAL_PASSES = (
    "cliprange_value", "distillation_is_clip", "epsilon", "epsilon_high", "delta", "importance_sampling_level",
    "off_policy_mask_threshold", "vespo_k_neg", "vespo_k_pos", "vespo_lambda_neg", "vespo_lambda_pos",
)  # fmt: skip
"""Arguments about how far the model moved since it gave an answer: in the only pass, nowhere."""


def check_passes(value: Mapping[str, Any], batch_size: int, gradient_accumulation: int) -> None:
    """Raise `ValueError` for one of `SEVERAL_PASSES` where each answer is used for one step only."""
    used = value.get("num_iterations", 1) > 1 or value.get("steps_per_generation", 1) > gradient_accumulation
    if used or value.get("generation_batch_size", 0) > batch_size * gradient_accumulation:
        return
    for name in sorted(set(value) & set(SEVERAL_PASSES)):
        raise ValueError(
            f"arguments.{name} has no effect if each answer is used for a single step; set num_iterations or "
            "steps_per_generation in arguments, or remove it"
        )


def check_objective(value: Mapping[str, Any], objective: str) -> None:
    """Raise `ValueError` for an argument that `objective` does not read, or not beside the others; not for losses."""
    for name in sorted(set(value) - {"loss_type"}):
        if name in OWNED:
            raise ValueError(f"{name} is set by the key {OWNED[name]}; use that instead")
        if name not in ALIGNED[objective] and name in NOT_READ:
            raise ValueError(f"{name} has no effect on {objective}: {NOT_READ[name]}; remove it")
        if name not in NEEDS.get(objective, {}):
            continue
        other, values = NEEDS[objective][name]
        chosen = value.get(other, _DEFAULT.get(objective) if other in ("loss_type", "distillation_mode") else None)
        several = chosen if isinstance(chosen, list) else [chosen]
        if values and set(map(str, values)).isdisjoint(map(str, several)):
            wanted = " or ".join(str(one).lower() for one in values)
            raise ValueError(f"{name} has no effect without {other}: {wanted}; set that, or remove it")
        if not values and len(several) < 2:
            raise ValueError(f"{name} has no effect without a list as {other}; set that, or remove it")
