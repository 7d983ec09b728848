"""Axolotl's YAML (its documentation, "Config Reference")."""

from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer
from flows.migrate.axolotl.data import ORDER, datasets, order, template, validation
from flows.migrate.conversion import Conversion, Rule, always, aside, off, switch, to

MARKS = frozenset({"base_model", "micro_batch_size", "sequence_len", "num_epochs", "base_model_config", "val_set_size"})
"""Keys that show the form."""

KERNELS = "custom kernels, whose loss is untested"
OTHER_KERNELS = (
    "use_kernels", "use_scattermoe", "use_sonicmoe", "cut_cross_entropy", "experts_implementation", "unsloth_lora_mlp",
    "lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel",
)  # fmt: skip
LIGER = (
    "liger_rms_norm", "liger_glu_activation", "liger_layer_norm", "liger_rope", "liger_fused_linear_cross_entropy",
    "liger_rms_norm_gated", "liger_cross_entropy",
)  # fmt: skip
OTHER_TRACKERS = (
    "wandb_project", "wandb_entity", "wandb_watch", "wandb_name", "wandb_log_model", "wandb_run_id",
    "trackio_project_name", "trackio_run_name", "trackio_space_id", "mlflow_experiment_name", "mlflow_tracking_uri",
)  # fmt: skip
GPTQ = ("gptq", "gptq_groupsize", "gptq_model_v1")
OBJECTIVES = {"dpo": "dpo", "ipo": "dpo", "kto": "kto", "orpo": "orpo", "simpo": "simpo", "grpo": "grpo"}


def convert(given: Mapping[str, Any], conversion: Conversion) -> None:
    """Map every key of the file."""
    if given.get("rl"):
        conversion.stage = "align"
    conversion.apply(RULES, {key: value for key, value in given.items() if key not in ORDER})
    order(given, conversion)
    adapter = given.get("adapter")
    if not adapter and "adapter" not in given:
        conversion.put("STAGE.method", "full")
    if adapter and given.get("load_in_8bit") and not given.get("load_in_4bit"):
        conversion.put("STAGE.quantization", "int8")
    if given.get("rl") == "ipo":
        conversion.put("align.arguments.loss_type", "ipo")


def _adapter(conversion: Conversion, key: str, value: Any) -> None:
    if value in ("lora", "qlora"):
        conversion.set(key, value, "STAGE.method", value)
    else:
        conversion.refuse(key, value, "choose train.method; docs/training-methods.md lists the adapters")


def _bits(conversion: Conversion, key: str, value: Any) -> None:
    if not value:
        conversion.same(key, value, "off here too")
    else:
        conversion.same(key, value, "use method: qlora, or quantization: int8")


def _linear(conversion: Conversion, key: str, value: Any) -> None:
    if value:
        conversion.set(key, value, "STAGE.lora.target_modules", "all-linear")
    else:
        conversion.same(key, value, "use lora_target_modules to name the layers")


def _per_epoch(target: str) -> Rule:
    def rule(conversion: Conversion, key: str, value: Any) -> None:
        if not value:
            conversion.same(key, value, "left open")
        else:
            conversion.refuse(
                key, value, f"{target} is a number of steps; derive it from the number that temper check prints"
            )

    return rule


def _objective(conversion: Conversion, key: str, value: Any) -> None:
    if value in OBJECTIVES:
        conversion.set(key, value, "align.objective", OBJECTIVES[value])
        if value in ("dpo", "ipo", "kto", "orpo", "simpo"):
            conversion.start_from_base()
    else:
        conversion.refuse(key, value, "choose one of align.objective")


def _train_on_inputs(conversion: Conversion, key: str, value: Any) -> None:
    if value:
        conversion.set(key, value, "template.train_on", "all")
    else:
        conversion.same(key, value, "train_on: assistant")


def _tokens(conversion: Conversion, key: str, value: Any) -> None:
    conversion.set(key, value, "template.new_tokens", list(value.values() if isinstance(value, Mapping) else value))


def _special(conversion: Conversion, key: str, value: Any) -> None:
    conversion.refuse(key, value, "the tokenizer defines them; the end token is checked against the end of turns")


def _reentrant(conversion: Conversion, key: str, value: Any) -> None:
    conversion.set(key, value, "STAGE.arguments.gradient_checkpointing_kwargs")


def _processes(conversion: Conversion, key: str, value: Any) -> None:
    conversion.set(key, value, "STAGE.launch.processes", int(value))
    conversion.put("STAGE.launch.strategy", "fsdp2")


def _checkpointing(conversion: Conversion, key: str, value: Any) -> None:
    conversion.set(
        key, value, "STAGE.gradient_checkpointing", bool(value), "" if isinstance(value, bool) else "not offloaded"
    )


def _unfrozen(conversion: Conversion, key: str, value: Any) -> None:
    conversion.set(key, value, "STAGE.freeze.names", list(value))
    conversion.put("STAGE.method", "freeze")


RULES: dict[str, Rule] = {
    **trainer.RULES,
    "base_model": trainer.base,
    "micro_batch_size": trainer.RULES["per_device_train_batch_size"],
    "eval_batch_size": trainer.RULES["per_device_eval_batch_size"],
    "sequence_len": to("template.max_length", int),
    "optimizer": trainer.RULES["optim"],
    "lr_scheduler": trainer.RULES["lr_scheduler_type"],
    "num_epochs": trainer.epochs,
    "datasets": datasets,
    "test_datasets": off("name test files in clean.splits.test", ()),
    "val_set_size": validation,
    "sample_packing": to("template.packing", bool),
    "eval_sample_packing": aside("validation is packed like training"),
    "pad_to_sequence_len": off("rows are padded to the longest of a batch; packs are full"),
    "saves_per_epoch": _per_epoch("checkpoint_steps"),
    "evals_per_epoch": _per_epoch("eval_steps"),
    "adapter": _adapter,
    "lora_target_linear": _linear,
    **trainer.adapter_keys(modules="lora_modules_to_save", dora="peft_use_dora", rslora="peft_use_rslora"),
    "lora_target_parameters": to("STAGE.peft.target_parameters", list),
    "lora_model_dir": trainer.adapter,
    "lora_fan_in_fan_out": aside("detected from the layers"),
    "load_in_4bit": _bits,
    "load_in_8bit": _bits,
    "gradient_checkpointing": _checkpointing,
    "gradient_checkpointing_kwargs": _reentrant,
    "train_on_inputs": _train_on_inputs,
    "chat_template": template,
    "special_tokens": _special,
    "tokens": _tokens,
    "eot_tokens": aside("the chat template defines the end of turns, which becomes a stop token"),
    "rl": _objective,
    "rl_beta": to("align.arguments.beta", float),
    "dpo_beta": to("align.arguments.beta", float),
    "early_stopping_patience": to("STAGE.patience", int),
    "loss_watchdog_threshold": aside("use max_spike, which stops training if the loss jumps"),
    "loss_watchdog_patience": aside("use max_spike, which stops training if the loss jumps"),
    "unfrozen_parameters": _unfrozen,
    "noisy_embedding_alpha": trainer.RULES["neftune_noise_alpha"],
    "flash_attention": trainer.attention,
    "sdp_attention": switch("STAGE.attention", "sdpa", "attention: auto"),
    "eager_attention": switch("STAGE.attention", "eager", "attention: auto"),
    "xformers_attention": off("attention can be sdpa, eager, flash_attention_2 or flash_attention_3"),
    "flex_attention": off("flex_attention is compiled at run time, which temper never does"),
    "s2_attention": off("it changes what the model computes"),
    "fsdp_config": aside("launch.strategy decides what is sharded; use launch.offload for offloading"),
    "fsdp_version": always("fsdp2", (2,)),
    "dp_shard_size": _processes,
    "context_parallel_size": to("STAGE.launch.context_parallel", int),
    "tensor_parallel_size": to("STAGE.launch.tensor_parallel", int),
    "model_type": aside("detected from config.json"),
    "tokenizer_type": aside("read from the tokenizer's files"),
    "processor_type": aside("only text is trained; the rest of the model is kept"),
    "is_llama_derived_model": aside("detected from config.json"),
    "dataset_prepared_path": aside(trainer.CACHE),
    "dataset_exact_deduplication": always("equal rows are always dropped and counted"),
    "streaming": aside("rows are always read from disk piece by piece"),
    "dataset_processes": aside(trainer.MACHINE),
    "skip_prepare_dataset": off("rows are always templated and audited"),
    "push_dataset_to_hub": off(trainer.PUSH, ()),
    "hub_model_id": off(trainer.PUSH, ()),
    "strict": aside("an unknown key is always an error"),
    "plugins": off("plug-ins are third-party code; temper has a key for what they do, or does not support it", ([],)),
    "activation_offloading": to("STAGE.arguments.activation_offloading", bool),
    "torchdistx_path": off("its package is not maintained", ()),
    "qat": off("quantisation-aware training is untested with merge and export", ()),
    "tokenizer_use_mistral_common": aside("the tokenizer's own files are used, and compared with its chat template"),
    "ddp_find_unused_parameters": aside("said by launch.strategy"),
    "quantize_moe_experts": off("experts are not quantised; the log gives the quantised share", ()),
    "trl": off("see docs/training-methods.md on grpo: align.answers, align.answer_tokens, align.arguments", ()),
    **dict.fromkeys(OTHER_TRACKERS, off(trainer.TRACKERS, ())),
    **dict.fromkeys(OTHER_KERNELS, off(KERNELS)),
    **dict.fromkeys(LIGER, off(trainer.LIGER)),
    **dict.fromkeys(GPTQ, off("GPTQ is a scheme of quantize; training uses 4 bits of bitsandbytes", (False,))),
    "max_packed_sequence_len": to("template.max_length", int),
}
