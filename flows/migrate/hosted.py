"""A fine-tuning job of OpenAI as its API gives it (`GET /v1/fine_tuning/jobs/ID`), or as it was asked for."""

from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer
from flows.migrate.conversion import Conversion, Rule, aside, off, to
from tasks.core.paths import PATHS

MARKS = frozenset({"training_file", "model", "hyperparameters", "method"})


def convert(given: Mapping[str, Any], conversion: Conversion) -> None:
    """Map every key; those of the method and of its hyperparameters too."""
    flat: dict[str, Any] = {}
    _flatten(given, "", flat)
    kind = flat.get("method.type", "supervised")
    if kind == "dpo":
        conversion.stage = "align"
    for key, value in flat.items():
        last = key.rpartition(".")[2]
        conversion.apply({key: RULES[last]} if last in RULES else {}, {key: value})


def _flatten(value: Mapping[str, Any], prefix: str, flat: dict[str, Any]) -> None:
    for key, kept in value.items():
        if isinstance(kept, Mapping) and kept and key not in ("metadata", "error"):
            _flatten(kept, f"{prefix}{key}.", flat)
        else:
            flat[f"{prefix}{key}"] = kept


def _type(conversion: Conversion, key: str, value: Any) -> None:
    if value == "supervised":
        conversion.same(key, value, "train, on rows with answers")
    elif value == "dpo":
        conversion.set(key, value, "align.objective", "dpo")
        conversion.start_from_base()
    else:
        conversion.refuse(key, value, f"a grader becomes a function in {PATHS.guides}: align.rewards of grpo")


def _unless_auto(rule: Rule) -> Rule:
    return lambda conversion, key, value: (
        conversion.same(key, value, "not set: the default is used") if value == "auto" else rule(conversion, key, value)
    )


def _file(conversion: Conversion, key: str, value: Any) -> None:
    if str(value).startswith("file-"):
        conversion.refuse(key, value, "a file at OpenAI: download it (/v1/files/ID/content) and name it in clean.input")
    else:
        trainer.data(conversion, key, value)


def _validation(conversion: Conversion, key: str, value: Any) -> None:
    conversion.refuse(key, value, "put it next to the training file and name it in clean.splits.validation")


_JOB = "describes the hosted job, not the training"

RULES: dict[str, Rule] = {
    "model": off("OpenAI does not release these weights: name an open model in base.folder or base.hub", ()),
    "type": _type,
    "training_file": _file,
    "validation_file": _validation,
    "n_epochs": _unless_auto(trainer.epochs),
    "batch_size": _unless_auto(trainer.RULES["per_device_train_batch_size"]),
    "learning_rate_multiplier": _unless_auto(
        off("a multiple of an undisclosed rate; recipes/tasks has rates for open models", (1, 1.0))
    ),
    "beta": _unless_auto(to("align.arguments.beta", float)),
    "seed": trainer.RULES["seed"],
    "suffix": to("report.title", str),
    "integrations": off(trainer.TRACKERS, ([],)),
    **dict.fromkeys(
        (
            "object",
            "id",
            "created_at",
            "finished_at",
            "fine_tuned_model",
            "organization_id",
            "result_files",
            "status",
            "trained_tokens",
            "estimated_finish",
            "error",
            "metadata",
            "user_provided_suffix",
            "usage_metrics",
            "shared_with_openai",
            "eval_id",
        ),
        aside(_JOB),
    ),
}
