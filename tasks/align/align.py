"""The stage `align`: take what train made, or the base, train it for an objective, save a whitelist of files."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from tasks.align.items import Items, check, counts, longest, read
from tasks.align.objectives import OBJECTIVES, Objective, Start
from tasks.align.settings import Settings
from tasks.contract.errors import CheckFailed, InputError, SettingsError
from tasks.contract.files import sha256, write_json, write_text, written
from tasks.contract.loading import grow
from tasks.contract.model import base_folder, base_record
from tasks.contract.paths import Paths
from tasks.train import checkpoints, loop
from tasks.train.adapters import attach
from tasks.train.settings import Tuning
from tasks.train.tune import described, initial, load, save


def align(settings: Settings, paths: Paths) -> None:
    """Train and save `data/aligned`; the checkpoints go when the result is complete."""
    from transformers import AutoTokenizer

    name = settings.objective
    objective = OBJECTIVES[name]
    train, validation = (read(paths, split, name) for split in ("train", "validation"))
    check(train, name, paths.templated)
    loop.prepare(settings)
    record = base_record(paths)
    tokenizer = AutoTokenizer.from_pretrained(paths.templated / "tokenizer", trust_remote_code=False)
    kinds = ("preferences", "judged") if name == "kto" else ("preferences",)
    identity = {
        "settings": settings.model_dump(mode="json"),
        "base": record["sha256"],
        "start": {file.name: sha256(file) for file in sorted(paths.fitted.glob("*")) if settings.start == "train"},
        "rows": [
            sha256(paths.templated / kind / f"{split}.arrow") for kind in kinds for split in ("train", "validation")
        ],
    }
    scratch = checkpoints.folder(paths.scratch("align"), identity, Path(__file__).parent)
    model, tuning = begin(settings, paths, tokenizer, train, scratch)
    result = fit(settings, objective, model, tokenizer, train, validation, scratch)
    with written(paths.aligned) as out:
        out.mkdir()
        place = out
        if name == "reward":
            place = out / "reward"
            place.mkdir()
            _save_whole(result.model, place)
            tokenizer.save_pretrained(place)
        else:
            save(result.model, out, record["location"], initial(tuning, scratch))
        write_text(place / "loss.csv", result.curve)
        told = {**result.facts, **described(tuning), "base": record["sha256"], "objective": name}
        write_json(place / "training.json", told)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    shutil.rmtree(scratch)


def begin(settings: Settings, paths: Paths, tokenizer: Any, rows: Any, scratch: Path) -> tuple[Any, Tuning]:
    """The model to train, with what shall be tuned, and how it is tuned."""
    base = base_folder(paths)
    tuned = settings.start == "train"
    adapter = paths.fitted / "adapter_config.json"
    if tuned and not adapter.is_file() and not (paths.fitted / "config.json").is_file():
        raise InputError(
            f"{paths.fitted}: neither an adapter nor a model; run the stage train first, or set align.start to base."
        )
    if settings.objective == "reward":
        return _scorer(settings, paths, base, tokenizer, rows, scratch), settings
    if not tuned:
        model = load(base, settings, settings)
        grown = grow(model, tokenizer)
        return attach("align", settings, model, rows, scratch, grown), settings
    made = json.loads((paths.fitted / "training.json").read_text())
    scheme = (made.get("quantization") or {}).get("scheme")
    if not adapter.is_file():
        return load(paths.fitted, Tuning(method="full"), settings), Tuning(method="full")
    from peft import PeftModel

    tuning = Tuning(method="lora", quantization=scheme)
    model = load(base, tuning, settings)
    grow(model, tokenizer)
    return PeftModel.from_pretrained(model, paths.fitted, is_trainable=True), tuning


def fit(
    settings: Settings, objective: Objective, model: Any, tokenizer: Any, train: Any, validation: Any, scratch: Path
) -> loop.Trained:
    """Train `model` for `objective`; raises `CheckFailed` where what comes out cannot be right."""
    given = Items(train, objective.shape)
    asked = Items(validation, objective.shape) if len(validation) else None
    if settings.group_by_length or settings.padding_free is True:
        raise SettingsError("params.yaml: align.group_by_length and align.padding_free are for the stage train.")
    values = loop.arguments(
        "align",
        objective.arguments,
        settings,
        scratch,
        eval_steps=settings.eval_steps if asked else None,
        further={**objective.preset, **settings.arguments},
        max_length=None,
    )
    values.remove_unused_columns = False
    options: dict[str, Any] = {}
    if objective.reference and not hasattr(model, "peft_config"):
        options["ref_model"] = copy.deepcopy(model).requires_grad_(False).eval()
    trainable = [value for value in model.parameters() if value.requires_grad]
    try:
        trainer = objective.trainer(
            model=model,
            args=values,
            train_dataset=Dataset.from_list([given[0]]),  # trl wants one of these, and looks at its first row
            eval_dataset=Dataset.from_list([asked[0]]) if asked else None,
            processing_class=tokenizer,
            callbacks=[loop.watch("align", settings), *([Start(settings.max_start)] if objective.reference else [])],
            optimizers=(loop.optimizer(settings, model, values), None),
            **options,
        )
    except (ValueError, NotImplementedError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise SettingsError(f"params.yaml: trl refuses these settings of align: {said}") from None
    for value in trainable:
        value.data = value.data.float()
    trainer.train_dataset, trainer.eval_dataset = given, asked
    work = loop.Work(counts(train), len(given), longest(train))
    result = loop.train("align", trainer, settings, scratch, work)
    if any(not torch.isfinite(value).all() for value in result.model.parameters()):
        raise CheckFailed("align: a weight is no number after the last step; lower align.learning_rate.")
    return result


def _scorer(settings: Settings, paths: Paths, base: Path, tokenizer: Any, rows: Any, scratch: Path) -> Any:
    """A model with one number for an answer in the place of the head, on the weights of the tuned model or the base."""
    from transformers import AutoModelForSequenceClassification

    if settings.quantized:
        raise SettingsError("params.yaml: a reward model is saved whole; set align.quantization to null.")
    folder = base
    if settings.start == "train" and not (paths.fitted / "adapter_config.json").is_file():
        folder = paths.fitted
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    if settings.start == "train" and folder == base:
        body = model.base_model_prefix
        getattr(model, body).load_state_dict(getattr(_merged(settings, paths, base, tokenizer), body).state_dict())
    model.config.pad_token_id = tokenizer.pad_token_id
    return attach("align", settings, model, rows, scratch, False, task="SEQ_CLS")


def _merged(settings: Settings, paths: Paths, base: Path, tokenizer: Any) -> Any:
    from peft import PeftModel

    model = load(base, Tuning(method="full"), settings)
    grow(model, tokenizer)
    try:
        return PeftModel.from_pretrained(model, paths.fitted).merge_and_unload()
    except (NotImplementedError, AttributeError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"params.yaml: a reward model cannot start from the adapter in {paths.fitted}: {error}; "
            "set align.start to base."
        ) from None


def _save_whole(model: Any, out: Path) -> None:
    merged = model.merge_and_unload() if hasattr(model, "peft_config") else model
    save(merged, out, "")
