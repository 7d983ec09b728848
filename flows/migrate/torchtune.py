"""torchtune's YAML, whose values are components with arguments of their own."""

from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer
from flows.migrate.conversion import Conversion, Rule, always, aside, off, switch, to
from tasks.core.paths import PATHS

MARKS = frozenset({"tokenizer", "checkpointer", "model"})

OPTIMIZERS = {
    "AdamW": "adamw_torch",
    "Adam": "adamw_torch",
    "SGD": "sgd",
    "PagedAdamW8bit": "paged_adamw_8bit",
    "PagedAdamW": "paged_adamw_32bit",
    "AdamW8bit": "adamw_8bit",
}


def convert(given: Mapping[str, Any], conversion: Conversion) -> None:
    """Map every key of the file; a component's own keys too."""
    loss = _name(given.get("loss"))
    if "DPO" in loss or "RSO" in loss:
        conversion.stage = "align"
        conversion.put("align.objective", "dpo")
        conversion.start_from_base()
    for key, value in given.items():
        if isinstance(value, Mapping) and "_component_" in value and key in PARTS:
            conversion.apply(PARTS[key], {**value, "_component_": _name(value)}, f"{key}.")
        else:
            conversion.apply(RULES, {key: value})
    component = _name(given.get("model"))
    conversion.put("STAGE.method", "qlora" if "qlora" in component else "lora" if "lora" in component else "full")


def _name(component: Any) -> str:
    """The last part of a component's name."""
    return str(component.get("_component_", "")).rpartition(".")[2] if isinstance(component, Mapping) else ""


def _optimizer(conversion: Conversion, key: str, value: Any) -> None:
    if value in OPTIMIZERS:
        conversion.set(key, value, "STAGE.optimizer", OPTIMIZERS[value])
    else:
        conversion.refuse(key, value, "use an optimiser of transformers, by its name there")


def _scheduler(conversion: Conversion, key: str, value: Any) -> None:
    if "cosine" in value:
        conversion.set(key, value, "STAGE.scheduler", "cosine")
    else:
        conversion.refuse(key, value, "use a schedule of transformers, by its name there")


def _model(conversion: Conversion, key: str, value: Any) -> None:
    way = "qlora" if value.startswith("qlora") else "lora" if "lora" in value else "full"
    conversion.set(key, value, "STAGE.method", way, "the model itself is the base")


def _modules(conversion: Conversion, key: str, value: Any) -> None:
    names = {"output_proj": "o_proj", "q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj"}
    if unknown := [name for name in value if name not in names]:
        conversion.refuse(
            key, value, f"layers are named as in the base; temper look and check list them, not {unknown[0]}"
        )
        return
    known = conversion.values.get(conversion.stage, {}).get("lora", {}).get("target_modules", [])
    own = [*known, *(names[name] for name in value if names[name] not in known)]
    conversion.set(key, value, "STAGE.lora.target_modules", own)


def _mlp(conversion: Conversion, key: str, value: Any) -> None:
    known = conversion.values.get(conversion.stage, {}).get("lora", {}).get("target_modules", [])
    if value:
        conversion.set(key, value, "STAGE.lora.target_modules", [*known, "gate_proj", "up_proj", "down_proj"])
    else:
        conversion.same(key, value, "not among the layers")


def _dtype(conversion: Conversion, key: str, value: Any) -> None:
    if value == "fp32":
        conversion.set(key, value, "STAGE.dtype", "float32")
    else:
        trainer.bfloat16(conversion, key, value == "bf16")


def _dataset(conversion: Conversion, key: str, value: Any) -> None:
    if value in (
        "alpaca_dataset",
        "alpaca_cleaned_dataset",
        "chat_dataset",
        "instruct_dataset",
        "slimorca_dataset",
        "preference_dataset",
        "stack_exchange_paired_dataset",
        "text_completion_dataset",
    ):
        conversion.same(key, value, "rows are recognised by their keys")
    else:
        conversion.refuse(key, value, "put the rows into clean.input; temper look shows how their columns are used")


def _steps(conversion: Conversion, key: str, value: Any) -> None:
    conversion.set(key, value, "STAGE.steps", int(value))
    conversion.put("STAGE.epochs", None)


PARTS: dict[str, dict[str, Rule]] = {
    "optimizer": {
        "_component_": _optimizer,
        "lr": trainer.RULES["learning_rate"],
        "weight_decay": trainer.RULES["weight_decay"],
        "fused": aside("a custom kernel, whose numbers agree to the last bit or two"),
    },
    "lr_scheduler": {"_component_": _scheduler, "num_warmup_steps": trainer.RULES["warmup_steps"]},
    "model": {
        "_component_": _model,
        **trainer.adapter_keys(rank="lora_rank", alpha="lora_alpha", dropout="lora_dropout", dora="use_dora"),
        "lora_attn_modules": _modules,
        "apply_lora_to_mlp": _mlp,
        "apply_lora_to_output": off("the head is a separate layer: use peft.modules_to_save"),
    },
    "tokenizer": {
        "_component_": aside("read from the tokenizer's files"),
        "path": aside("the base's own folder has it"),
        "merges_file": aside("the base's own folder has it"),
        "max_seq_len": to("template.max_length", int),
        "prompt_template": aside("template.chat_template names one"),
    },
    "checkpointer": {
        "_component_": aside("the base's format is detected from its files"),
        "checkpoint_dir": trainer.base,
        "checkpoint_files": aside("all files of the folder are read"),
        "recipe_checkpoint": aside(trainer.RESUME),
        "output_dir": aside(f"results are in {PATHS.data}"),
        "model_type": aside("detected from config.json"),
        "safe_serialization": always("safetensors alone"),
        "adapter_checkpoint": aside("use train.start to continue from an adapter"),
    },
    "loss": {
        "_component_": always(
            "the loss is the likelihood of answers; for pairs it is DPO's",
            ("LinearCrossEntropyLoss", "CEWithChunkedOutputLoss", "CrossEntropyLoss", "DPOLoss"),
        ),
        "num_output_chunks": aside("the loss is computed in tiles"),
        "beta": to("align.arguments.beta", float),
        "label_smoothing": off("labels of pairs are not smoothed, unless by a loss_type that does", (0, 0.0)),
    },
    "dataset": {
        "_component_": _dataset,
        "packed": to("template.packing", bool),
        "source": trainer.data,
        "split": always("given by the files, or clean.splits", ("train", "train[:95%]", "train[:80%]")),
        "train_on_input": switch("template.train_on", "all", "train_on: assistant"),
        "data_files": trainer.data,
        "column_map": aside("clean.columns maps columns"),
        "conversation_column": always("read from its key", ("messages", "conversations", "dialogue")),
        "conversation_style": always("recognised by its keys", ("openai", "sharegpt")),
    },
    "dataset_val": {
        "_component_": aside("validation is a share of the rows: clean.validation_share"),
        "split": aside("see clean.validation_share"),
        "packed": aside("as in training"),
        "source": aside("name validation files in clean.splits"),
    },
    "metric_logger": {
        "_component_": aside(trainer.TRACKERS),
        "log_dir": aside(trainer.TRACKERS),
        "project": aside(trainer.TRACKERS),
        "name": aside(trainer.TRACKERS),
        "group": aside(trainer.TRACKERS),
    },
}
PARTS["dataset_val"] |= {name: aside("as in training") for name in PARTS["dataset"] if name not in PARTS["dataset_val"]}

RULES: dict[str, Rule] = {
    **trainer.RULES,
    "batch_size": trainer.RULES["per_device_train_batch_size"],
    "batch_size_val": trainer.RULES["per_device_eval_batch_size"],
    "epochs": trainer.epochs,
    "max_steps_per_epoch": _steps,
    "clip_grad_norm": trainer.RULES["max_grad_norm"],
    "dtype": _dtype,
    "device": aside("a GPU if there is one"),
    "compile": off(trainer.COMPILE),
    "enable_activation_checkpointing": trainer.RULES["gradient_checkpointing"],
    "enable_activation_offloading": to("STAGE.arguments.activation_offloading", bool),
    "optimizer_in_bwd": off("it updates weights during the backward pass, without gradient accumulation or checks"),
    "shuffle": always("rows are in an order drawn by the seed"),
    "log_every_n_steps": trainer.RULES["logging_steps"],
    "run_val_every_n_steps": trainer.RULES["eval_steps"],
    "log_peak_memory_stats": aside("the report has the cost of training"),
    "log_level": aside("one line per event"),
    "profiler": aside("use torch's tools to make profiles"),
    "save_adapter_weights_only": always("the adapter is saved, and the merged model", (True, False)),
    "fsdp_cpu_offload": to("STAGE.launch.offload", bool),
    "tensor_parallel_dim": to("STAGE.launch.tensor_parallel", int),
    "data_parallel_shard_dim": always("fsdp2 shards the weights over all processes", (-1,)),
    "data_parallel_replicate_dim": always("fsdp2 holds each weight once", (1,)),
    "custom_sharded_layers": aside("each block is a separate unit, and so are embeddings and head"),
    "metric_logger": aside(trainer.TRACKERS),
    "collate_fn": aside("rows are padded, or packed"),
    "quantizer": aside("list schemes in quantize.schemes"),
    "tasks": aside("list tasks of lm-eval in evaluate.benchmarks"),
    "limit": to("evaluate.limit", int),
    "enable_kv_cache": always("answers are generated with a cache"),
    "max_generated_tokens": to("evaluate.max_new_tokens", int),
    "max_new_tokens": to("evaluate.max_new_tokens", int),
    "max_seq_length": to("template.max_length", int),
    "temperature": aside("the most likely answer is scored"),
    "top_k": aside("the most likely answer is scored"),
    "low_cpu_ram": aside("weights are read on demand"),
    "name": to("report.title", str),
}
