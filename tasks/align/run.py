"""The stage `align`: take what train made, or the base, train it for an objective, save a whitelist of files."""

import copy
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from tasks.align import arguments, starts, teacher
from tasks.align.objectives import OBJECTIVES
from tasks.align.settings import Settings
from tasks.align.trainers import LossAboveStart, ReferenceCheck
from tasks.align.training_data import TrainingData, training_data
from tasks.chat.stops import copy_stop_ids
from tasks.core.errors import CheckFailed, InputError, SettingsError
from tasks.core.files import sha256, write_json, write_text, written
from tasks.core.paths import PATHS, Paths
from tasks.models import start
from tasks.models.adapter_files import training_record
from tasks.models.compact import widen_trained
from tasks.models.loading import grow
from tasks.models.private_peft import scale_between
from tasks.models.record import base_folder, base_record
from tasks.models.tuning import described, initial, load, save
from tasks.training import checkpoints, distributed, loop, sharding, usage
from tasks.training.adapters import attach
from tasks.training.arguments import width
from tasks.training.callbacks import MonitorCallback
from tasks.training.loss_curve import starts_at_ln_2
from tasks.training.private_trl import send_merged
from tasks.training.rows import load as load_rows
from tasks.training.samples import Asked
from tasks.training.tuning_settings import Tuning


def align(settings: Settings, paths: Paths) -> None:
    """Train and save `data/aligned`; the checkpoints go when the result is complete.

        align(Settings(objective="dpo", steps=200), Paths(root))

    Raises `InputError`, `SettingsError` or `CheckFailed`.
    """
    from transformers import AutoTokenizer

    name = settings.objective
    distributed.join("align", settings.launch, settings.threads)
    loop.prepare(settings)
    record = base_record(paths)
    tokenizer = AutoTokenizer.from_pretrained(paths.tokenizer, trust_remote_code=False)
    data = training_data(settings, paths, tokenizer)
    adapter = {"start": start.hashes("align", settings.adapter, paths)} if settings.adapter else {}
    identity = {
        "settings": settings.model_dump(mode="json"),
        "base": record["sha256"],
        "start": {file.name: sha256(file) for file in sorted(paths.fitted.glob("*")) if settings.start == "train"},
        "adapter": adapter,
        "rows": [sha256(file) for file in data.read(settings)],
        "guides": _guides(settings, paths),
    }
    with distributed.first():
        scratch = checkpoints.folder(paths.scratch("align"), identity, Path(__file__).parent)
    distributed.check_shared("align", scratch, settings.launch)
    scheduled = arguments.scheduled(settings, len(data.train))
    model, tuning = starting_model(scheduled, paths, tokenizer, scratch)
    rows = load_rows(data.held_out) if settings.samples.prompts else None
    asked = Asked("align", settings.samples, rows, tokenizer, paths.tokenizer, model, every=settings.eval_steps)
    result = fit(scheduled, paths, data, model, tokenizer, scratch, asked)
    if distributed.rank():
        sharding.send_weights(result.model)
        return
    with written(paths.aligned) as out:
        out.mkdir()
        model_folder = out
        if OBJECTIVES[name].trains_reward_model:
            model_folder = out / "reward"
            model_folder.mkdir()
            _save_whole(result.model, model_folder)
            tokenizer.save_pretrained(model_folder)
        else:
            save(result.model, out, record["location"], initial(tuning, scratch))
            copy_stop_ids(paths.tokenizer, out)
        if settings.episodes.on:
            from tasks.align.episodes import ledger

            ledger.write(scratch, out, result.facts["steps"])
        write_text(out / "loss.csv", result.curve)
        asked.save(out)
        facts = {**result.facts, **described(tuning), **adapter, "base": record["sha256"], "objective": name}
        if who := teacher.taught(settings, paths):
            facts["taught"] = who
        write_json(model_folder / "training.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    usage.save(paths, "align", settings, result.usage, paths.aligned)
    shutil.rmtree(scratch)


def _guides(settings: Settings, paths: Paths) -> dict[str, str]:
    """Hashes of what data/guides holds, where that decides anything."""
    if not OBJECTIVES[settings.objective].sampled:
        return {}
    files = sorted(file for file in paths.guides.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {str(file.relative_to(paths.guides)): sha256(file) for file in files}


def starting_model(settings: Settings, paths: Paths, tokenizer: Any, scratch: Path) -> tuple[Any, Tuning]:
    """The model to train, with what shall be tuned, and how it is tuned."""
    base = base_folder(paths)
    starts_from_tuned = settings.start == "train"
    adapter = paths.fitted / "adapter_config.json"
    if starts_from_tuned and not adapter.is_file() and not (paths.fitted / "config.json").is_file():
        raise InputError(
            f"{paths.fitted}: neither an adapter nor a model; run the stage train first, or set align.start to base."
        )
    if OBJECTIVES[settings.objective].trains_reward_model:
        return _reward_model(settings, paths, base, tokenizer, scratch), settings
    if not starts_from_tuned:
        model = load(base, settings, settings)
        sharding.check_base("align", settings, model, tokenizer)
        grown = grow(model, tokenizer)
        if settings.adapter:
            return start.load("align", settings, settings.adapter, model, paths, grown), settings
        rows = load_rows(paths.tokens("train"))
        return attach("align", settings, model, rows, scratch, grown), settings
    quantization = training_record(paths.fitted).quantization
    scheme = quantization.scheme if quantization else None
    starts.check_sharing(settings, whole=not adapter.is_file(), scheme=scheme)
    if not adapter.is_file():
        tuning = Tuning(method="full", weights=settings.weights, attention=settings.attention)
        whole = load(paths.fitted, tuning, settings)
        sharding.check_base("align", settings.model_copy(update={"method": "full"}), whole, tokenizer)
        return whole, tuning
    from peft import PeftModel

    tuning = Tuning(method="lora", quantization=scheme, attention=settings.attention)
    model = load(base, tuning, settings)
    sharding.check_base("align", settings.model_copy(update={"method": "lora"}), model, tokenizer)
    grow(model, tokenizer)
    tuned = PeftModel.from_pretrained(model, paths.fitted, is_trainable=True)
    tuned.peft_config["default"].base_model_name_or_path = model.name_or_path  # peft asks the hub at each checkpoint
    widen_trained(tuned)
    scale_between(tuned)
    return tuned, tuning


def fit(
    settings: Settings, paths: Paths, data: TrainingData, model: Any, tokenizer: Any, scratch: Path, asked: Asked
) -> loop.TrainingResult:
    """Train `model` on `data`; raises `CheckFailed` where what comes out cannot be right."""
    objective, sampled = data.objective, data.objective.sampled
    longest = len(data.train[data.work.longest]["prompt"]) if sampled else 0
    configuration = arguments.trl_configuration(
        settings, scratch, longest, has_validation=bool(data.validation), width=width(model.config)
    )
    trainer_class = objective.load_trainer(episodes=settings.episodes.on)
    starts.check_sharing(settings, whole=not hasattr(model, "peft_config"), scheme=None)
    options: dict[str, Any] = {}
    together = 1
    if sampled:
        from tasks.align import sampling

        together = sampling.together(configuration, settings)
        options = sampling.options(settings, paths, tokenizer, model, configuration, scratch) | data.options
        if settings.episodes.on:
            options["scratch"] = scratch
        if objective.uses_rewards and settings.samples.prompts:
            weights = [reward.weight for reward in settings.rewards]
            options["reward_funcs"] = asked.watch(options["reward_funcs"], weights)
    elif objective.uses_reference and not hasattr(model, "peft_config"):
        options["ref_model"] = copy.deepcopy(model).requires_grad_(False).eval()
    trainable = [(value, value.dtype) for value in model.parameters() if value.requires_grad]
    try:
        trainer = trainer_class(
            model=model,
            args=configuration,
            train_dataset=Dataset.from_list([data.train[0]]),  # trl wants one of these, and looks at its first row
            eval_dataset=Dataset.from_list([data.validation[0]]) if data.validation else None,
            processing_class=tokenizer,
            callbacks=[
                MonitorCallback("align", settings),
                asked,
                *([ReferenceCheck(settings.max_start)] if objective.uses_reference else []),
                *([LossAboveStart()] if starts_at_ln_2(settings.objective, settings.arguments) else []),
            ],
            optimizers=(loop.optimizer(settings, model, configuration), None),
            **options,
        )
    except (ValueError, NotImplementedError, AttributeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{PATHS.params}: trl rejects these settings of align: {reason}") from None
    for value, dtype in trainable:
        if value.dtype != dtype:
            value.data = value.data.to(dtype)
    sharding.mark(trainer, settings)
    if settings.generation.engine == "vllm" and hasattr(model, "peft_config"):
        send_merged(trainer)
    if getattr(trainer, "aux_loss_enabled", False):  # how evenly a batch uses experts is no mean over its rows
        configuration.per_device_eval_batch_size = 1
    trainer.train_dataset, trainer.eval_dataset = data.train, data.validation
    loss = {**objective.preset, **settings.arguments}.get("loss_type")
    work = replace(data.work, together=together, divides=not objective.measures_alone(loss))
    if hasattr(trainer, "probe"):
        work = replace(work, forward=partial(trainer.probe, work.longest, settings.longest_answer))
    result = loop.train("align", trainer, settings, scratch, work, passes=usage.passes_file(paths, "align"))
    if any(not torch.isfinite(sharding.local(value)).all() for value in result.model.parameters()):
        raise CheckFailed("align: a weight is NaN or infinite after the last step; lower align.learning_rate.")
    return result


def _reward_model(settings: Settings, paths: Paths, base: Path, tokenizer: Any, scratch: Path) -> Any:
    """A model with one number for an answer in the place of the head, on the weights of the tuned model or the base."""
    from transformers import AutoModelForSequenceClassification

    folder = base
    if settings.start == "train" and not (paths.fitted / "adapter_config.json").is_file():
        folder = paths.fitted
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=1,
        dtype=torch.float32,
        trust_remote_code=False,
        use_safetensors=True,
        **settings.attention_options,
    )
    if settings.start == "train" and folder == base:
        body = model.base_model_prefix
        getattr(model, body).load_state_dict(getattr(_merged(settings, paths, base, tokenizer), body).state_dict())
    model.config.pad_token_id = tokenizer.pad_token_id
    rows = load_rows(paths.tokens("train"))
    return attach("align", settings, model, rows, scratch, False, task="SEQ_CLS")


def _merged(settings: Settings, paths: Paths, base: Path, tokenizer: Any) -> Any:
    from peft import PeftModel

    model = load(base, Tuning(method="full"), settings)
    grow(model, tokenizer)
    try:
        return PeftModel.from_pretrained(model, paths.fitted).merge_and_unload()
    except (NotImplementedError, AttributeError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"{PATHS.params}: a reward model cannot start from the adapter in {paths.fitted}: {error}; "
            "set align.start to base."
        ) from None


def _save_whole(model: Any, out: Path) -> None:
    merged = model.merge_and_unload() if hasattr(model, "peft_config") else model
    save(merged, out, "")
