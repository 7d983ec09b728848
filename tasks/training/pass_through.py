"""Arguments of trl that params.yaml may pass on, one by one: those that act, those that a key stands for, the rest.

Everything that the trainers of the installed trl and transformers know is in one of these tables; a test goes through
their fields, so that an argument which a new version brings is refused until somebody has looked at what it does.
"""

import math
from collections.abc import Mapping
from typing import Any

from tasks.training.launch import world
from tasks.training.optimizers import PROJECTING

OWNED: dict[str, str | None] = {
    "output_dir": None,
    "max_steps": "steps",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "batch_size",
    "auto_find_batch_size": "batch_size",
    "neftune_noise_alpha": "neftune",
    "gradient_accumulation_steps": "gradient_accumulation",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "scheduler",
    "warmup_steps": "warmup_steps",
    "warmup_ratio": "warmup_steps",
    "optim": "optimizer",
    "adam_beta2": "adam_beta2",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "seed": "seed",
    "data_seed": "seed",
    "bf16": "dtype",
    "fp16": "dtype",
    "bf16_full_eval": "dtype",
    "fp16_full_eval": "dtype",
    "use_cpu": None,
    "local_rank": None,
    "dataloader_pin_memory": None,
    "ddp_backend": None,
    "average_tokens_across_devices": None,
    "remove_unused_columns": None,
    "activation_checkpointing": "gradient_checkpointing",
    "gradient_checkpointing": "gradient_checkpointing",
    "logging_steps": "logging_steps",
    "logging_strategy": None,
    "logging_first_step": None,
    "logging_nan_inf_filter": None,
    "disable_tqdm": None,
    "save_strategy": None,
    "save_steps": "checkpoint_steps",
    "save_total_limit": None,
    "save_only_model": None,
    "eval_strategy": None,
    "eval_steps": "eval_steps",
    "load_best_model_at_end": "patience",
    "trust_remote_code": None,
    "resume_from_checkpoint": None,
}
"""Arguments that temper sets, and the key that stands for each; None: what it sets has to be so."""

ACTING = (
    "adam_beta1", "adam_epsilon", "optim_args", "optim_target_modules", "lr_scheduler_kwargs",
    "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs", "dataloader_drop_last",
    "dataloader_num_workers", "dataloader_prefetch_factor", "dataloader_persistent_workers",
    "dataloader_multiprocessing_context", "tf32", "torch_empty_cache_steps",
)  # fmt: skip
"""Arguments of every trainer that act; tf32 and torch_empty_cache_steps on a graphics card only."""

WATCHING = ("eval_delay", "eval_on_start")
"""Those that act where there is a validation split."""

TOGETHER = (
    "ddp_broadcast_buffers", "ddp_bucket_cap_mb", "ddp_find_unused_parameters", "ddp_static_graph", "ddp_timeout",
)  # fmt: skip
"""Those that act where several processes train."""

SUPERVISED = (
    *ACTING, *WATCHING, *TOGETHER, "label_smoothing_factor", "loss_type", "router_aux_loss_coef", "pad_to_multiple_of",
    "activation_offloading", "train_sampling_strategy",
)  # fmt: skip
"""What acts in training on labelled rows."""

_READY = "the stage template renders, tokenises, truncates and packs rows; use its keys"
_TRACKER = "training sends no reports; the curve is in loss.csv, on the run's page and in the report"
_PUSH = "training uploads nothing; publish the finished model with temper push"
_LOSS = "validation measures only the loss"
_LOG = "temper has its own logs and progress display"
_SAME = "an interrupted run must end in the same bytes as an uninterrupted one"
_LOADED = "temper loads the model itself, without weights or code from elsewhere"
_COMPILED = "compiled code differs between machines, and temper's loss is untested with it"
_SHARDING = "use the key launch.strategy to shard weights: fsdp2, zero2 or zero3"
_GENERATED = "use align's key generation, which has the options that work here"
_FIXED = "the reference stays the initial model, since checkpoints do not hold another one"

REFUSED: dict[str, str] = {
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "parallelism_config"), _SHARDING),
    **dict.fromkeys(
        ("report_to", "run_name", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id",
         "include_num_input_tokens_seen"), _TRACKER,
    ),
    **dict.fromkeys(
        ("push_to_hub", "hub_always_push", "hub_model_id", "hub_private_repo", "hub_revision", "hub_strategy",
         "hub_token", "log_completions_hub_repo"), _PUSH,
    ),
    **dict.fromkeys(
        ("batch_eval_metrics", "eval_accumulation_steps", "eval_do_concat_batches", "eval_use_gather_object",
         "prediction_loss_only", "include_for_metrics", "label_names", "do_eval", "do_predict", "do_train",
         "greater_is_better", "metric_for_best_model", "generate_during_eval"), _LOSS,
    ),
    **dict.fromkeys(
        ("log_level", "log_level_replica", "log_on_each_node", "debug", "skip_memory_metrics", "log_completions",
         "log_multimodal", "log_unique_prompts", "num_completions_to_print", "log_completions_steps", "callbacks",
         "wandb_log_unique_prompts"), _LOG,
    ),
    **dict.fromkeys(
        ("full_determinism", "ignore_data_skip", "restore_callback_states_from_checkpoint", "enable_jit_checkpoint",
         "dataloader_in_order", "save_on_each_node", "accelerator_config"), _SAME,
    ),
    **dict.fromkeys(("torch_compile", "torch_compile_backend", "torch_compile_mode"), _COMPILED),
    **dict.fromkeys(("use_liger_kernel", "liger_kernel_config"), _COMPILED.replace("is compiled", "its kernels give")),
    **dict.fromkeys(
        ("model_init_kwargs", "use_cache", "is_encoder_decoder", "teacher_model_init_kwargs", "teacher_model_revision"),
        _LOADED,
    ),
    **dict.fromkeys(
        ("max_length", "truncation_mode", "packing", "eval_packing", "packing_strategy", "dataset_kwargs",
         "dataset_num_proc", "dataset_text_field", "shuffle_dataset", "chat_template_path", "chat_template_kwargs",
         "assistant_only_loss", "completion_only_loss", "eos_token", "pad_token", "padding_value"), _READY,
    ),
    "length_column_name": "use the key group_by_length to batch rows of similar length",
    "padding_free": "use the key padding_free, if the stage has it",
    **dict.fromkeys(
        ("use_vllm", "use_transformers_paged", "use_transformers_continuous_batching",
         "transformers_continuous_batching_config", "ds3_gather_for_generation", "max_tool_calling_iterations"),
        _GENERATED,
    ),
    **dict.fromkeys(("sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"), _FIXED),
    **dict.fromkeys(
        ("precompute_ref_log_probs", "precompute_ref_batch_size"),
        "temper reads rows on demand and computes nothing in advance",
    ),
    "cast_lm_head_to_fp32": "the installed trl fails with it on common models",
    "reward_model_path": "use the key rewards to name a reward model: {kind: model, name: ...}",
}  # fmt: skip
"""Arguments that would do nothing here, or harm, and why."""

WORKERS = ("dataloader_prefetch_factor", "dataloader_persistent_workers", "dataloader_multiprocessing_context")

RECOMPUTING = ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")

WITHOUT_MOMENTS = ("sgd", "adagrad", "rmsprop", "adafactor", "schedule_free_sgd", "galore_adafactor")
"""Optimisers, by how their names begin, that read neither adam_beta1 nor adam_epsilon."""


def why_not(name: str) -> str | None:
    """Why the argument `name` is not passed on; None where nothing is known against it."""
    if name.startswith("vllm_"):
        return _GENERATED
    return REFUSED.get(name)


def check_arguments(value: dict[str, Any]) -> dict[str, Any]:
    """`value`; `ValueError` where it holds an argument that has a key of its own, must be what it is, or is refused."""
    for name in sorted(set(value) & set(OWNED)):
        key = OWNED[name]
        raise ValueError(
            f"{name} is set by the key {key}; use that instead" if key else f"temper sets {name} itself; remove it"
        )
    for name in sorted(value):
        if reason := why_not(name):
            raise ValueError(f"{name} is not offered: {reason}")
        if isinstance(value[name], float) and not math.isfinite(value[name]):
            raise ValueError(f"{name} is {value[name]}, but must be a finite number")
    return value


def check_effect(value: Mapping[str, Any], settings: Any) -> None:
    """Raise `ValueError` for an argument that has no effect beside the other keys of the section `settings`."""
    for name in value:
        if name in WORKERS and not value.get("dataloader_num_workers"):
            raise ValueError(f"arguments.{name} has no effect without dataloader_num_workers; set that, or remove it")
        if name in RECOMPUTING and not settings.gradient_checkpointing:
            raise ValueError(f"arguments.{name} has no effect without gradient_checkpointing: true; remove it")
        if name in TOGETHER and world(settings) == 1:
            raise ValueError(f"arguments.{name} has no effect with a single process; remove it")
        if name in TOGETHER and settings.launch.strategy != "ddp":
            raise ValueError(
                f"arguments.{name} has no effect with launch.strategy {settings.launch.strategy}; remove it"
            )
        if name in ("adam_beta1", "adam_epsilon") and settings.optimizer.startswith(WITHOUT_MOMENTS):
            raise ValueError(f"arguments.{name} has no effect on the optimizer {settings.optimizer}; remove it")
        if name == "optim_target_modules" and settings.optimizer not in PROJECTING:
            raise ValueError(f"arguments.{name} has no effect on the optimizer {settings.optimizer}; remove it")
        if name == "train_sampling_strategy" and value[name] not in ("random", "sequential"):
            raise ValueError(
                "arguments.train_sampling_strategy must be random or sequential; for batches of similar length, set "
                "group_by_length"
            )
        if name == "train_sampling_strategy" and getattr(settings, "group_by_length", False):
            raise ValueError("arguments.train_sampling_strategy has no effect with group_by_length; remove one of them")
        if name == "train_sampling_strategy" and getattr(settings, "order", "shuffled") != "shuffled":
            raise ValueError(
                f"arguments.train_sampling_strategy has no effect with order: {settings.order}; remove one of them"
            )
        if name == "eval_on_start" and getattr(settings, "patience", None):
            raise ValueError(
                "arguments.eval_on_start evaluates weights that no checkpoint has, so patience could not restore them; "
                "remove it"
            )
