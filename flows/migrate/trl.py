"""trl's command line (`trl sft --learning_rate 2e-5 ...`) and its YAML."""

import shlex
from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer
from flows.migrate.conversion import Conversion, Rule, always, aside, off, switch, to
from tasks.core.paths import PATHS

COMMANDS = {"sft": "", "dpo": "dpo", "kto": "kto", "grpo": "grpo", "rloo": "rloo", "reward": "reward", "gkd": "gkd"}
MARKS = frozenset({"model_name_or_path", "dataset_name", "per_device_train_batch_size"})


def convert(given: Mapping[str, Any], conversion: Conversion) -> None:
    """Map every key."""
    objective = COMMANDS.get(str(given.get("command", "sft")), "")
    if objective:
        conversion.stage = "align"
        conversion.put("align.objective", objective)
        conversion.start_from_base()
    conversion.apply(RULES, {key: value for key, value in given.items() if key != "command"})
    adapted = given.get("use_peft") or given.get("lora_r") or given.get("peft_config")
    conversion.put("STAGE.method", "qlora" if adapted and given.get("load_in_4bit") else "lora" if adapted else "full")


def parse(text: str) -> dict[str, Any]:
    """The arguments of a command line: `trl sft`, `python sft.py`, `accelerate launch ... sft.py`.

    >>> parse("trl sft --learning_rate 2e-5 --packing")
    {'command': 'sft', 'learning_rate': 2e-05, 'packing': True}
    """
    from tasks.core.yaml_files import parse as yaml

    words = shlex.split(text.replace("\\\n", " "), comments=True)
    given: dict[str, Any] = {}
    for name in COMMANDS:
        if any(word == name or word.endswith(f"{name}.py") for word in words):
            given["command"] = name
    key = ""
    for word in words:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            given[key] = yaml(value) if equals else True
        elif key:
            given[key] = _plain(yaml(word)) if given[key] is True else [*_listed(given[key]), _plain(yaml(word))]
    return {key: _plain(value) for key, value in given.items()}


def _plain(value: Any) -> Any:
    """A number that YAML takes for a text, such as 2e-5."""
    return float(value) if isinstance(value, str) and _is_number(value) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _modules(conversion: Conversion, key: str, value: Any) -> None:
    names = _listed(value)
    conversion.set(key, value, "STAGE.lora.target_modules", "all-linear" if names == ["all-linear"] else names)


RULES: dict[str, Rule] = {
    **trainer.RULES,
    "dataset_name": trainer.data,
    "dataset_config": off("a subset of a data set is its folder: put its files into the input", ()),
    "dataset_train_split": always("given by the files, or clean.splits", ("train",)),
    "dataset_test_split": always("given by the files, or clean.splits", ("test", "validation")),
    "use_peft": lambda conversion, key, value: conversion.set(key, value, "STAGE.method", "lora" if value else "full"),
    "load_in_4bit": switch("STAGE.method", "qlora", "off here too"),
    "load_in_8bit": switch("STAGE.quantization", "int8", "off here too"),
    "lora_target_modules": _modules,
    "lora_modules_to_save": to("STAGE.peft.modules_to_save", _listed),
    **trainer.adapter_keys(rslora="use_rslora", dora="use_dora"),
    "dtype": aside("the data type of the stored base; bf16 sets that of training"),
    "torch_dtype": aside("the data type of the stored base; bf16 sets that of training"),
    "model_revision": aside("the revision is a part of base.hub: organisation/name@<40 hex digits>"),
    "num_generations": to("align.answers", int),
    "max_completion_length": to("align.answer_tokens", int),
    "max_prompt_length": aside("template.max_length limits prompt and answer together"),
    "reward_model_name_or_path": aside(f"put a reward model into {PATHS.guides}, and name it in align.rewards"),
    "reward_funcs": aside(f"put your functions into {PATHS.guides}, and name them in align.rewards"),
    "config": aside("import it with a separate temper import"),
    "eos_token": aside("the chat template defines the end of turns"),
}
