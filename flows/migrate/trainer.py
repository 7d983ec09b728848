"""Arguments of transformers' and trl's trainers, whose names most tools share."""

import re
from pathlib import Path
from typing import Any

from flows.migrate.conversion import Conversion, Rule, always, aside, here, off, switch, to
from tasks.core.paths import PATHS
from tasks.training import optimizers
from tasks.training.pass_through import REFUSED, SUPERVISED

TRACKERS = "training sends no reports; the curve is on the run's page, in the report and in loss.csv"
PUSH = "training uploads nothing; publish the finished model with temper push"
CACHE = "every stage is cached by the hashes of what it reads"
MACHINE = "temper detects it, and results do not depend on it"
LIGER = REFUSED["use_liger_kernel"]
COMPILE = REFUSED["torch_compile"]
CODE = "no code is loaded with weights"
ONE = "one folder is read: put its files there, and set the shares in mix"
RESUME = "a killed run resumes from its last checkpoint automatically"


def whole(value: Any) -> int:
    """A whole number of steps, of one that may be written with fractions. Raises `ValueError` for a share."""
    number = float(value)
    if number < 1 and number != 0:
        raise ValueError("a share of the steps; set their number, which temper check prints")
    return int(number)


def epochs(conversion: Conversion, key: str, value: Any) -> None:
    if conversion.values.get(conversion.stage, {}).get("steps"):
        conversion.same(key, value, "steps decides how long to train")
        return
    conversion.set(key, value, "STAGE.epochs", float(value))
    conversion.put("STAGE.steps", None)


def steps(conversion: Conversion, key: str, value: Any) -> None:
    if float(value) <= 0:
        conversion.same(key, value, "not limited")
        return
    conversion.set(key, value, "STAGE.steps", int(value))
    conversion.take_back("STAGE.epochs", "same", "steps decides how long to train")


def warmup(conversion: Conversion, key: str, value: Any) -> None:
    """A share of the steps becomes a number where the number of steps is known."""
    known = conversion.values.get(conversion.stage, {}).get("steps")
    if float(value) >= 1 or not float(value):
        conversion.set(key, value, "STAGE.warmup_steps", int(float(value)))
    elif known:
        conversion.set(key, value, "STAGE.warmup_steps", max(1, round(float(value) * known)))
    else:
        stage = conversion.stage
        conversion.refuse(
            key,
            value,
            f"{stage}.warmup_steps is a number: set it to {float(value):g} of the steps that temper check prints",
        )


def bfloat16(conversion: Conversion, key: str, value: Any) -> None:
    if value in (True, "true", "yes"):
        conversion.set(key, value, "STAGE.dtype", "bfloat16")
    elif value == "auto":
        conversion.same(key, value, "dtype: auto")
    else:
        conversion.set(key, value, "STAGE.dtype", "float32")


def strategy(name: str) -> Rule:
    """FSDP, or DeepSpeed by its configuration's name."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        text = str(value).lower()
        if value in (False, [], {}):
            conversion.same(key, value, "off here too")
            return
        stage = "zero3" if any(word in text for word in ("zero3", "z3", "stage': 3")) else "zero2"
        conversion.set(key, value, "STAGE.launch.strategy", "fsdp2" if name == "fsdp" else stage)

    return rule


def attention(conversion: Conversion, key: str, value: Any) -> None:
    names = {"fa2": "flash_attention_2", "fa3": "flash_attention_3", True: "flash_attention_2"}
    name = names.get(value, value)
    if name in ("auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"):
        conversion.set(key, value, "STAGE.attention", name)
    elif name in (False, "disabled"):
        conversion.same(key, value, "attention: auto")
    else:
        conversion.refuse(key, value, "attention can be auto, sdpa, eager, flash_attention_2 or flash_attention_3")


def base(conversion: Conversion, key: str, value: Any) -> None:
    """A folder of the machine, or a model of the hub at the revision that lies in the hub's cache."""
    _located(conversion, key, str(value), "models", "base.folder", "base.hub")


def data(conversion: Conversion, key: str, value: Any) -> None:
    """Rows in a folder or file of the machine, or a data set of the hub."""
    _located(conversion, key, str(value), "datasets", "clean.input", "clean.hub")
    conversion.put("generate.recipe", "none")


def _located(conversion: Conversion, key: str, name: str, kind: str, local: str, hub: str) -> None:
    path = (conversion.folder / name).resolve()
    if path.exists() or name.startswith((".", "/")):
        conversion.set(key, name, local, here(path), "" if path.exists() else "not there yet")
    elif revision := _cached(name, kind):
        conversion.set(key, name, hub, f"{name}@{revision}", "the revision in the hub's cache")
    else:
        conversion.refuse(key, name, f"a name alone may change: set {hub} to {name}@<its 40 hex digits>")


def _cached(name: str, kind: str) -> str:
    """The commit that the hub's cache has for a repository; "" for none."""
    from huggingface_hub.constants import HF_HUB_CACHE

    reference = Path(HF_HUB_CACHE) / f"{kind}--{name.replace('/', '--')}" / "refs/main"
    return reference.read_text().strip() if reference.is_file() else ""


def adapter(conversion: Conversion, key: str, value: Any) -> None:
    """An adapter to go on from, which has a name of its own here."""
    name = re.sub(r"[^\w.-]+", "-", str(value)).strip("-.") or "adapter"
    conversion.set(key, value, "STAGE.start", name, f"put it into {PATHS.starts / name}")


def saved(conversion: Conversion, key: str, value: Any) -> None:
    """What to do with checkpoints beyond those to go on from."""
    if value in ("steps", "no", "epoch", False):
        conversion.same(
            key, value, "checkpoints are for resuming, set by checkpoint_steps; the result is saved at the end"
        )
    else:
        conversion.refuse(key, value, "the last weights are kept, or with patience the best")


def evaluated(conversion: Conversion, key: str, value: Any) -> None:
    if value in ("steps", "no"):
        conversion.same(key, value, "validation runs every eval_steps, if there are rows for it")
    else:
        conversion.refuse(key, value, "validation runs every eval_steps")


ADAPTER: dict[str, Rule] = {
    "rank": to("STAGE.lora.r", int),
    "alpha": to("STAGE.lora.alpha", float),
    "dropout": to("STAGE.lora.dropout", float),
    "dora": switch("STAGE.method", "dora", "lora"),
    "rslora": to("STAGE.peft.use_rslora", bool),
    "modules": to("STAGE.peft.modules_to_save", list),
}
"""What LoRA's keys say, whatever they are called."""


def adapter_keys(**names: str) -> dict[str, Rule]:
    """Rules for LoRA's keys by their names in a tool: `adapter_keys(rank="lora_r")`."""
    return {name: ADAPTER[what] for what, name in names.items()}


RULES: dict[str, Rule] = {
    "model_name_or_path": base,
    "learning_rate": to("STAGE.learning_rate", float),
    "num_train_epochs": epochs,
    "max_steps": steps,
    "per_device_train_batch_size": to("STAGE.batch_size", int),
    "per_device_eval_batch_size": aside("as many rows at once as in training; the loss does not depend on it"),
    "gradient_accumulation_steps": to("STAGE.gradient_accumulation", int),
    "lr_scheduler_type": to("STAGE.scheduler", optimizers.scheduler),
    "warmup_steps": warmup,
    "warmup_ratio": warmup,
    "optim": to("STAGE.optimizer", lambda value: optimizers.optimizer({"adamw": "adamw_torch"}.get(value, value))),
    "weight_decay": to("STAGE.weight_decay", float),
    "adam_beta2": to("STAGE.adam_beta2", float),
    "max_grad_norm": to("STAGE.max_grad_norm", float),
    "seed": to("STAGE.seed", int),
    "data_seed": to("STAGE.seed", int),
    "bf16": bfloat16,
    "fp16": off("training computes in float32 or bfloat16; float16 needs a scaling of the loss"),
    "gradient_checkpointing": to("STAGE.gradient_checkpointing", bool),
    "logging_steps": to("STAGE.logging_steps", whole),
    "save_steps": to("STAGE.checkpoint_steps", whole),
    "eval_steps": to("STAGE.eval_steps", whole),
    "neftune_noise_alpha": to("STAGE.neftune", float),
    "group_by_length": to("STAGE.group_by_length", bool),
    "max_length": to("template.max_length", int),
    "max_seq_length": to("template.max_length", int),
    "packing": to("template.packing", bool),
    "padding_free": to("STAGE.padding_free", bool),
    "assistant_only_loss": always("the assistant's turns are trained: template.train_on"),
    "completion_only_loss": always("the answers are trained: template.train_on"),
    "attn_implementation": attention,
    "deepspeed": strategy("deepspeed"),
    "fsdp": strategy("fsdp"),
    "tf32": to("STAGE.arguments.tf32", bool),
    "use_liger_kernel": off(LIGER),
    "torch_compile": off(COMPILE),
    "trust_remote_code": off(CODE),
    "output_dir": aside(f"results are in {PATHS.data}, such as {PATHS.merged}"),
    "overwrite_output_dir": always("outdated results are made again, all else is kept"),
    "resume_from_checkpoint": off(RESUME),
    "save_strategy": saved,
    "save_total_limit": aside("checkpoints are for resuming and are removed at the end; the newest are kept"),
    "save_only_model": off("a checkpoint without the optimiser's state cannot resume to the same bytes"),
    "eval_strategy": evaluated,
    "do_train": always("it trains"),
    "do_eval": always("validation runs if there are rows for it"),
    "report_to": off(TRACKERS, ("none", [], ["none"], False)),
    "run_name": aside(TRACKERS),
    "push_to_hub": off(PUSH),
    "dataloader_num_workers": to("STAGE.arguments.dataloader_num_workers", int),
    "remove_unused_columns": aside("rows are token ids already when they reach the trainer"),
    "dataset_num_proc": aside(MACHINE),
    "dataset_text_field": to("clean.columns.text", str),
    "chat_template_path": to("template.chat_template", str),
    "load_in_4bit": off("", (False,)),
    "use_peft": off("", (False,)),
    **adapter_keys(rank="lora_r", alpha="lora_alpha", dropout="lora_dropout"),
    "lora_target_modules": to("STAGE.lora.target_modules"),
    "lora_task_type": always("a causal language model", ("CAUSAL_LM",)),
    "beta": to("STAGE.arguments.beta", float),
    "loss_type": to("STAGE.arguments.loss_type"),
}
"""By their names in transformers and trl."""

RULES |= {name: to(f"STAGE.arguments.{name}") for name in SUPERVISED if name not in RULES}
RULES |= {name: off(why, (False, None, "none", 0, [])) for name, why in REFUSED.items() if name not in RULES}
