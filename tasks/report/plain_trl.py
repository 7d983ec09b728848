"""The same training in plain trl, as lines of Python for the model card: to check temper by, and to take away from it.

The rows are those that the stage template wrote, token ids and labels, so that only the trainer is trl's alone. Where
trl has no counterpart to what was trained, there are no lines, and the reason stands in their place.
"""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.paths import PATHS

WIDTH = 100
"""Characters of a line."""

OWN_METHODS = {
    "adalora": "AdaLoRA allocates its ranks with a callback",
    "eva": "EVA starts from activations of the rows",
    "freeze": "temper chooses which weights are frozen",
    "lora_plus": "the adapter's two matrices have different learning rates",
}
"""Methods that need more than peft's configuration, and why."""

PACKS = """\
packs = {{}}
for row in Dataset.from_file({rows}):
    pack = packs.setdefault(row["pack"], {{"input_ids": [], "labels": [], "seq_lengths": []}})
    pack["input_ids"] += row["input_ids"]
    pack["labels"] += row["labels"]
    pack["seq_lengths"].append(len(row["input_ids"]))
rows = Dataset.from_list(list(packs.values()))"""

PAIRS = """\
class TokenIds(DPOTrainer):
    def _prepare_dataset(self, dataset, *arguments):  # the pairs are token ids already
        return dataset"""


@dataclass(frozen=True)
class PlainTraining:
    """What the card says of one stage, train or align."""

    stage: str
    code: str
    """Lines of Python, to be run in the project's folder; "" where there are none."""
    reasons: list[str]
    """Why there are none."""


def plain_trainings(
    base: dict[str, Any], settings: dict[str, dict[str, Any]], trainings: dict[str, dict[str, Any]], packed: bool
) -> list[PlainTraining]:
    """What the stages of `trainings` did, in their order.

    `base`: base.json. `settings`: flat, by section. `trainings`: training.json by stage (`train`, `align`); of files
    that older versions wrote, which name no changes, nothing is said. `packed`: several rows share a sequence.
    """
    plain = []
    for stage, facts in trainings.items():
        if "changes" not in facts:
            continue
        values = settings.get(stage, {})
        reasons = _reasons(stage, values, facts, trainings)
        if settings.get("template", {}).get("new_tokens"):
            reasons.append("embeddings of new tokens were added, and trained with the adapter")
        code = "" if reasons else _code(stage, base, settings, facts, trainings, packed)
        plain.append(PlainTraining(stage, code, reasons))
    return plain


def _reasons(
    stage: str, values: dict[str, Any], facts: dict[str, Any], trainings: dict[str, dict[str, Any]]
) -> list[str]:
    """Why plain trl does not come to the same losses."""
    method = facts["method"]
    arguments = facts["changes"]["arguments"]
    objective = values.get("objective", "sft")
    goes_on = stage == "align" and values.get("start") == "train"
    reasons = [OWN_METHODS[method]] if method in OWN_METHODS and not goes_on else []
    if objective not in ("sft", "dpo"):
        reasons.append(f"the objective {objective} reads rows in temper's own format")
    if values.get("launch.processes", 1) > 1 or values.get("launch.nodes", 1) > 1 or arguments.get("deepspeed"):
        reasons.append("it ran in several processes")
    if facts.get("quantization") or (goes_on and trainings.get("train", {}).get("quantization")):
        reasons.append("trl rounds an adapter on a quantised base to bfloat16, and temper does not")
    if values.get("optimizer") == "muon":
        reasons.append("the optimiser Muon is temper's own")
    if values.get("weights", "float32") != "float32" and facts["changes"]["peft"] is None:
        reasons.append("weights held in bfloat16 are rounded by temper's own optimiser")
    if values.get("lora.b_ratio") and facts["changes"]["peft"] and method not in OWN_METHODS:
        reasons.append(OWN_METHODS["lora_plus"])
    if values.get("group_by_length"):
        reasons.append("temper grouped rows of similar length in its own order")
    if values.get("order", "shuffled") != "shuffled":
        reasons.append(f"temper ordered the rows by {values['order']}")
    if values.get("patience"):
        reasons.append("early stopping used a validation loss over all tokens, but trl averages over batches")
    return reasons


def _code(
    stage: str,
    base: dict[str, Any],
    settings: dict[str, dict[str, Any]],
    facts: dict[str, Any],
    trainings: dict[str, dict[str, Any]],
    packed: bool,
) -> str:
    values, adapter = settings.get(stage, {}), facts["changes"]["peft"]
    pairs = stage == "align"
    trainer, configuration = ("TokenIds", "DPOConfig") if pairs else ("SFTTrainer", "SFTConfig")
    tuned = pairs and values.get("start") == "train"
    whole = tuned and not (trainings.get("train", {}).get("changes") or {}).get("peft")
    start = PATHS.fitted if tuned and not whole else _start(stage, values)
    new = adapter if adapter and not start else None
    lines = ["from datasets import Dataset"]
    if adapter:
        lines.append(f"from peft import {new['kind'] if new else 'PeftModel'}")
    lines += [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        f"from trl import {configuration}, {'DPOTrainer' if pairs else trainer}",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({_quoted(PATHS.tokenizer)})",
    ]
    source = _quoted(PATHS.fitted) if whole else _location(base)
    attention = values.get("attention", "auto")
    options = "" if attention == "auto" else f", attn_implementation={attention!r}"
    load = f'AutoModelForCausalLM.from_pretrained({source}, dtype="float32"{options})'
    lines.append(f"model = {load}")
    if start:
        lines.append(f"model = PeftModel.from_pretrained(model, {_quoted(start)}, is_trainable=True)")
    file = _quoted(PATHS.templated / "preferences" / "train.arrow" if pairs else PATHS.tokens("train"))
    lines.append(PACKS.format(rows=file) if packed and not pairs else f"rows = Dataset.from_file({file})")
    if pairs:
        lines.append('rows = rows.select_columns(["prompt_ids", "chosen_ids", "rejected_ids"])')
    arguments = {"output_dir": "plain_trl", **facts["changes"]["arguments"]}
    if packed and not pairs:
        arguments["padding_free"] = True
    lines.append(_call("arguments", configuration, arguments))
    parts = {"model": "model", "args": "arguments", "train_dataset": "rows", "processing_class": "tokenizer"}
    if new:
        fields = dict(new["fields"])
        if "lora.target_modules" in values and new["kind"] == "LoraConfig":
            fields["target_modules"] = values["lora.target_modules"]  # and not the layers that peft found by it
        lines.append(_call("adapter", new["kind"], fields))
        parts["peft_config"] = "adapter"
    elif pairs and not adapter:
        parts["ref_model"] = load
    if pairs:
        lines += ["", "", PAIRS, "", ""]
    lines += [_wrapped("trainer", trainer, parts), "trainer.train()"]
    return "\n".join(lines)


def _start(stage: str, values: dict[str, Any]) -> Path | None:
    """The folder of the adapter that it went on from; None for a new one."""
    name = values.get("start")
    return PATHS.starts / name if name and not (stage == "align" and name in ("base", "train")) else None


def _location(base: dict[str, Any]) -> str:
    """The base as an argument of `from_pretrained`."""
    if base["kind"] == "hub":
        return f"{_quoted(base['location'])}, revision={_quoted(base['revision'])}"
    return _quoted(base["location"] if base["kind"] == "folder" else PATHS.base / base["location"])


def _call(name: str, function: str, values: dict[str, Any]) -> str:
    """`name = function(...)`, with `values` as Python writes them."""
    return _wrapped(name, function, {key: _quoted(value) for key, value in values.items()})


def _wrapped(name: str, function: str, code: dict[str, str]) -> str:
    """`name = function(...)`, the code of its arguments wrapped between them."""
    joined = " ".join(f"{key}={value},".replace(" ", "\0") for key, value in code.items())
    lines = textwrap.wrap(joined, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    body = "\n".join(f"    {line}" for line in lines).replace("\0", " ")
    return f"{name} = {function}(\n{body}\n)"


def _quoted(value: Any) -> str:
    """`value` as Python writes it, strings in double quotes where that is the same."""
    if isinstance(value, Path):
        return _quoted(value.as_posix())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {_quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_quoted, value)) + "]"
    text = repr(value)
    plain = isinstance(value, str) and text == f"'{value}'" and '"' not in value
    return f'"{value}"' if plain else text
