"""LLaMA-Factory's YAML: what each key becomes."""

from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer
from flows.migrate.conversion import Conversion, Rule, always, aside, off, switch, to
from flows.migrate.llama_factory import data
from tasks.core.paths import PATHS

MARKS = frozenset(
    {"finetuning_type", "stage", "template", "cutoff_len", "dataset_dir", "infer_backend", "sample_backend"}
)
"""Keys that no other tool has."""

OBJECTIVES = {"dpo": "dpo", "kto": "kto", "rm": "reward"}
LOSSES = {"sigmoid": "dpo", "orpo": "orpo", "simpo": "simpo", "ipo": "dpo", "hinge": "dpo"}


def convert(given: Mapping[str, Any], conversion: Conversion) -> None:
    """Map every key of the file."""
    if given.get("stage") in OBJECTIVES:
        conversion.stage = "align"
    flat = dict(given)
    for name in ("peft_config", "quant_config", "dist_config", "kernel_config", "init_config"):
        if isinstance(inner := flat.pop(name, None), Mapping):
            conversion.apply(INNER[name], inner, f"{name}.")
    conversion.apply(RULES, {key: value for key, value in flat.items() if key not in data.MIXED})
    data.convert(flat, conversion)
    kind = given.get("finetuning_type")
    if kind == "lora" and (given.get("quantization_bit") == 4):
        conversion.put("STAGE.method", "qlora")
    elif given.get("quantization_bit") == 8:
        conversion.put("STAGE.quantization", "int8")


def _stage(conversion: Conversion, key: str, value: Any) -> None:
    if value in OBJECTIVES:
        conversion.set(key, value, "align.objective", OBJECTIVES[value])
        conversion.start_from_base()
    elif value == "sft":
        conversion.same(key, value, "train, on rows with answers")
    elif value == "pt":
        conversion.set(key, value, "clean.shape", "text")
    else:
        conversion.refuse(key, value, "choose one of align.objective; grpo and rloo learn from rewards")


def _loss(conversion: Conversion, key: str, value: Any) -> None:
    if value not in LOSSES:
        conversion.refuse(key, value, "choose a loss of align.objective and align.arguments.loss_type")
        return
    conversion.set(key, value, "align.objective", LOSSES[value])
    if LOSSES[value] == "dpo" and value != "sigmoid":
        conversion.put("align.arguments.loss_type", value)


def _kind(conversion: Conversion, key: str, value: Any) -> None:
    if value in ("lora", "full", "freeze", "oft"):
        conversion.set(key, value, "STAGE.method", value)
    else:
        conversion.refuse(key, value, "choose one of train.method")


def _target(conversion: Conversion, key: str, value: Any) -> None:
    names = value.split(",") if isinstance(value, str) else value
    own = "all-linear" if value == "all" else [name.strip() for name in names]
    conversion.set(key, value, "STAGE.lora.target_modules", own)


def _bit(conversion: Conversion, key: str, value: Any) -> None:
    if value == 4:
        conversion.set(key, value, "STAGE.quantization", "nf4")
    elif value == 8:
        conversion.set(key, value, "STAGE.quantization", "int8")
    else:
        conversion.refuse(key, value, "bases can be quantised to 4 or 8 bits")


def _thinking(conversion: Conversion, key: str, value: Any) -> None:
    conversion.without(key, value, "rows decide about reasoning; docs/chat-templates.md says where templates write it")


LAUNCH: dict[str, Rule] = {
    "num_processes": to("STAGE.launch.processes", int),
    "num_machines": to("STAGE.launch.nodes", int),
    "main_process_ip": aside("use launch.rendezvous, as HOST:PORT"),
    "main_process_port": aside("use launch.rendezvous, as HOST:PORT"),
    "distributed_type": trainer.strategy("fsdp"),
    "mixed_precision": lambda conversion, key, value: trainer.bfloat16(conversion, key, str(value).startswith("bf16")),
    "use_cpu": off("detected from the machine"),
    "compute_environment": aside(trainer.MACHINE),
    "machine_rank": aside(trainer.MACHINE),
    "rdzv_backend": aside(trainer.MACHINE),
    "same_network": aside(trainer.MACHINE),
    "downcast_bf16": off("use weights for training in bfloat16"),
    "main_training_function": aside(trainer.MACHINE),
    "tpu_env": off("no TPUs", ([],)),
    "tpu_use_cluster": off("no TPUs"),
    "tpu_use_sudo": off("no TPUs"),
}
"""accelerate's file, which lies beside these."""

RULES: dict[str, Rule] = {
    **trainer.RULES,
    **LAUNCH,
    "model": trainer.base,
    "stage": _stage,
    "finetuning_type": _kind,
    **trainer.adapter_keys(rank="lora_rank", dora="use_dora", rslora="use_rslora"),
    "lora_target": _target,
    "oft_target": _target,
    "oft_block_size": to("STAGE.peft.oft_block_size", int),
    "freeze_trainable_layers": to("STAGE.freeze.layers", int),
    "freeze_trainable_modules": aside("said by freeze.names"),
    "additional_target": to(
        "STAGE.peft.modules_to_save", lambda value: value.split(",") if isinstance(value, str) else value
    ),
    "loraplus_lr_ratio": to("STAGE.lora.b_ratio", float),
    "pissa_init": switch("STAGE.method", "pissa", "off here too"),
    "adapter_name_or_path": trainer.adapter,
    "quantization_bit": _bit,
    "quantization_method": always("by bitsandbytes", ("bnb", "bitsandbytes")),
    "double_quantization": always("its scales are quantised again"),
    "eval_dataset": off("name validation and test files in clean.splits", ()),
    "dataset_dir": aside("given by the path of the data set"),
    "template": aside("the tokenizer's own template; template.chat_template names another, and audits it"),
    "cutoff_len": to("template.max_length", int),
    "streaming": aside("rows are read from disk piece by piece, always"),
    "buffer_size": aside("the order is drawn of all rows, not of those in a buffer"),
    "val_size": to("clean.validation_share", float),
    "train_on_prompt": switch("template.train_on", "all", "train_on: assistant"),
    "mask_history": switch("template.train_on", "last", "every answer is trained"),
    "packing": to("template.packing", bool),
    "neat_packing": switch("template.packing", True, "packs always keep rows separate"),
    "enable_thinking": _thinking,
    "flash_attn": trainer.attention,
    "pref_beta": to("align.arguments.beta", float),
    "pref_loss": _loss,
    "kto_chosen_weight": to("align.arguments.desirable_weight", float),
    "pref_ftx": off("no loss here has rpo_alpha, an extra loss on chosen answers", (0, 0.0)),
    "micro_batch_size": trainer.RULES["per_device_train_batch_size"],
    "overwrite_cache": aside(trainer.CACHE),
    "preprocessing_num_workers": aside(trainer.MACHINE),
    "tokenized_path": aside(trainer.CACHE),
    "plot_loss": always("the curve is in the report and on the run's page"),
    "pure_bf16": switch("STAGE.weights", "bfloat16_kahan", "weights: float32"),
    "upcast_layernorm": off("norms stay as in the base"),
    "disable_gradient_checkpointing": to("STAGE.gradient_checkpointing", lambda value: not value),
    "rope_scaling": to("base.rope.type", str),
    "resize_vocab": aside("list new tokens in template.new_tokens"),
    "ddp_timeout": aside("if a process dies, the others stop within seconds"),
    "export_dir": aside(f"the merged model is in {PATHS.merged}"),
    "export_size": aside("files are split like those of the base"),
    "export_device": aside("merging takes the memory of a few tensors"),
    "export_legacy_format": off("safetensors alone"),
    "export_quantization_bit": aside("list schemes in quantize.schemes"),
    "infer_backend": aside("answers are generated by transformers or llama.cpp"),
    "sample_backend": aside("answers are generated by transformers or llama.cpp"),
    "max_new_tokens": to("evaluate.max_new_tokens", int),
    "image_max_pixels": aside("only text is trained; rows with images are refused"),
    "video_max_pixels": aside("only text is trained; rows with videos are refused"),
    "video_fps": aside("only text is trained"),
    "video_maxlen": aside("only text is trained"),
    "freeze_vision_tower": always("the tower is kept as it is"),
    "freeze_multi_modal_projector": always("it is kept as it is"),
    "freeze_language_model": always("only the text model is tuned", (False,)),
    "use_unsloth": off("custom kernels, whose loss is untested"),
    "enable_liger_kernel": off(trainer.LIGER),
    "model_class": always("a language model", ("llm",)),
    "batching_strategy": always(
        "rows are padded to the longest of a batch; padding_free: auto",
        ("normal", "padding_free", "dynamic_padding_free"),
    ),
    "use_badam": off("checkpoints do not hold its current block; use method: freeze"),
    "use_galore": switch("STAGE.optimizer", "galore_adamw", "off here too"),
    "use_muon": switch("STAGE.optimizer", "muon", "off here too"),
    "fp8": off("training computes in float32 or bfloat16"),
    "fsdp_config": aside("launch.strategy decides what is sharded; use launch.offload for offloading"),
    "include_num_input_tokens_seen": aside("the audit and training.json count tokens"),
    "debug": off(trainer.MACHINE, (False, "")),
    "sequence_parallel": off("rows are not split among processes", (False,)),
    "pipeline_model_parallel_size": off("layers are not split among processes; fsdp2 shards the weights", (1,)),
    "tensor_model_parallel_size": to("STAGE.launch.tensor_parallel", int),
    "cp_size": to("STAGE.launch.context_parallel", int),
}

INNER: dict[str, dict[str, Rule]] = {
    "peft_config": {
        "name": _kind,
        **trainer.adapter_keys(rank="r", alpha="lora_alpha", dropout="lora_dropout"),
        "target_modules": _target,
        "freeze_trainable_layers": RULES["freeze_trainable_layers"],
        "freeze_trainable_modules": RULES["freeze_trainable_modules"],
        "adapter_name_or_path": RULES["adapter_name_or_path"],
        "export_dir": RULES["export_dir"],
        "export_size": RULES["export_size"],
    },
    "quant_config": {"name": RULES["quantization_method"], "quantization_bit": _bit},
    "dist_config": {
        "name": lambda conversion, key, value: (
            trainer.strategy("fsdp" if "fsdp" in str(value) else "deepspeed")(conversion, key, value)
            if value in ("fsdp2", "deepspeed")
            else conversion.refuse(key, value, "choose one of launch.strategy")
        ),
        "config_file": trainer.strategy("deepspeed"),
        "dcp_path": aside("checkpoints have a fixed folder"),
    },
    "kernel_config": {"name": off(trainer.LIGER, ("auto",))},
    "init_config": {"name": aside(trainer.MACHINE)},
}
