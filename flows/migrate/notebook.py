"""Arguments of an Unsloth notebook, as .ipynb or .py: keywords of its calls, read and never run."""

import ast
import json
from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer, trl
from flows.migrate.conversion import Conversion, Rule, aside, off, switch, to

CALLS = frozenset(
    {
        "from_pretrained",
        "get_peft_model",
        "SFTTrainer",
        "SFTConfig",
        "TrainingArguments",
        "UnslothTrainingArguments",
        "UnslothTrainer",
        "DPOTrainer",
        "DPOConfig",
        "GRPOConfig",
        "GRPOTrainer",
        "ORPOConfig",
        "KTOConfig",
        "load_dataset",
        "get_chat_template",
        "train_on_responses_only",
    }
)
"""Calls whose keywords are settings."""

OBJECTIVES = {"DPO": "dpo", "GRPO": "grpo", "ORPO": "orpo", "KTO": "kto"}


def parse(text: str) -> dict[str, Any]:
    """Keywords of the calls in a notebook or script, each with the name of the call; what is no constant is its source.

    Raises `ValueError` for a text that is neither.
    """
    if text.lstrip().startswith("{"):
        cells = json.loads(text).get("cells", [])
        sources = ["".join(cell.get("source", [])) for cell in cells if cell.get("cell_type") == "code"]
        text = "\n".join(
            "\n".join(line for line in source.split("\n") if line.lstrip()[:1] not in "!%") for source in sources
        )
    constants: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = _constant(node.value, {})
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in CALLS:
            continue
        given |= {f"{name}.{word.arg}": (word.value, constants) for word in node.keywords if word.arg}
        if name in ("load_dataset", "from_pretrained") and node.args:
            given[f"{name}.{'path' if name == 'load_dataset' else 'model_name'}"] = (node.args[0], constants)
    return {key: _constant(value, known) for key, (value, known) in given.items()}


def _constant(node: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return Source(ast.unparse(node))


class Source(str):
    """An expression that is no constant."""


def convert(given: Mapping[str, Any], conversion: Conversion) -> None:
    """Map every keyword."""
    for call in {key.partition(".")[0] for key in given}:
        for word, objective in OBJECTIVES.items():
            if call.startswith(word):
                conversion.stage = "align"
                conversion.put("align.objective", objective)
                conversion.start_from_base()
    four_bits = given.get("from_pretrained.load_in_4bit", False)
    adapted = any(key.startswith("get_peft_model.") for key in given)
    for key, value in given.items():
        call, _, name = key.partition(".")
        rules = {**RULES, **BY_CALL.get(call, {})}
        if isinstance(value, Source) and name not in OBJECTS:
            conversion.without(key, str(value), "an expression of the notebook, which is not run; set it yourself")
        else:
            conversion.apply({key: rules[name]} if name in rules else {}, {key: value})
    conversion.put("STAGE.method", "qlora" if adapted and four_bits else "lora" if adapted else "full")


OBJECTS = frozenset(
    {
        "model",
        "tokenizer",
        "train_dataset",
        "eval_dataset",
        "args",
        "processing_class",
        "bf16",
        "fp16",
        "token",
        "dtype",
    }
)


def _precision(conversion: Conversion, key: str, value: Any) -> None:
    if isinstance(value, Source):
        conversion.same(key, str(value), "dtype: auto, which depends on the machine")
    else:
        trainer.RULES[key.rpartition(".")[2]](conversion, key, value)


RULES: dict[str, Rule] = {
    **trl.RULES,
    **{
        name: aside("an object of the notebook; stages pass on files")
        for name in (
            "model",
            "tokenizer",
            "args",
            "processing_class",
            "train_dataset",
            "eval_dataset",
            "callbacks",
            "data_collator",
        )
    },
    "bf16": _precision,
    "fp16": _precision,
    "embedding_learning_rate": off("one learning rate for all, or lora.b_ratio", ()),
}

BY_CALL: dict[str, dict[str, Rule]] = {
    "from_pretrained": {
        "model_name": trainer.base,
        "max_seq_length": to("template.max_length", int),
        "dtype": aside("dtype: auto"),
        "token": aside("put secrets into the environment, never into settings"),
        "load_in_4bit": trl.RULES["load_in_4bit"],
        "full_finetuning": switch("STAGE.method", "full", "lora"),
        "fast_inference": off("answers are generated by transformers or llama.cpp", (False,)),
        "gpu_memory_utilization": aside("temper check estimates memory, and training measures it"),
    },
    "get_peft_model": {
        **trainer.adapter_keys(
            rank="r", alpha="lora_alpha", dropout="lora_dropout", rslora="use_rslora", modules="modules_to_save"
        ),
        "target_modules": trl.RULES["lora_target_modules"],
        "bias": off("use peft.bias to train biases", ("none",)),
        "use_gradient_checkpointing": to("STAGE.gradient_checkpointing", bool),
        "random_state": trainer.RULES["seed"],
        "loftq_config": off("it is computed only on CUDA, from weights that it replaces", ()),
    },
    "load_dataset": {
        "path": trainer.data,
        "split": off("given by the files, or clean.splits", ("train",)),
        "data_files": trainer.data,
        "name": off("a subset of a data set is its folder", ()),
    },
    "get_chat_template": {
        "chat_template": aside("the tokenizer's own; template.chat_template names another, and audits it"),
        "mapping": aside("names of roles and contents are recognised"),
        "map_eos_token": off("stop tokens are read from the template", (True, False)),
    },
    "train_on_responses_only": {
        "instruction_part": aside("detected by the chat template: train_on: assistant"),
        "response_part": aside("detected by the chat template: train_on: assistant"),
    },
}
