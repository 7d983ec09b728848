"""Base and adapter to one model folder: merged, written, read back and compared with what was trained."""

from typing import Any

import torch

from tasks.chat.stops import ordered
from tasks.core.errors import CheckFailed, InputError, ModelError
from tasks.core.files import write_json, written
from tasks.core.numbers import shown
from tasks.core.paths import PATHS, Paths
from tasks.merge.adapter import Adapter, read
from tasks.merge.combine import TRAINED, adapter_folders, check_combinable, other_adapters
from tasks.merge.embedding import merge_embedder
from tasks.merge.folder import check_tokenizer, save_stops, stored_dtype
from tasks.merge.headed import Headed
from tasks.merge.settings import Settings
from tasks.merge.source import trained_on
from tasks.merge.trained import MergeOptions, Trained, open_trained, parameters
from tasks.merge.vocabulary import check_new_tokens
from tasks.models.adapter_files import training_record
from tasks.models.equivalence import Difference, compare, digits, probes
from tasks.models.foreign import foreign
from tasks.models.head import Head
from tasks.models.loading import load_tokenizer
from tasks.models.origin import check_origin
from tasks.models.record import base_folder, base_record
from tasks.models.reload import Reloader


def merge(settings: Settings, paths: Paths) -> None:
    """Write `data/merged`; raise `CheckFailed` where the merged model is not the trained one."""
    torch.set_num_threads(1)
    base, record = base_folder(paths), base_record(paths)
    adapter = _adapter(paths, record)
    how = _how(settings, paths, record, adapter)
    for folder in (*([adapter.folder] if adapter else []), *(other.folder for other in how.others.values())):
        check_origin(folder, record["location"], base, settings.base_names)
    dtype = stored_dtype(base) if settings.dtype == "base" else getattr(torch, settings.dtype)
    if training_record(paths.trained).embedder is not None:
        merge_embedder(settings, paths, base, adapter, record["sha256"], dtype)
        return
    tokenizer = load_tokenizer(paths.tokenizer)
    head = Head.recorded(training_record(paths.trained), tokenizer.pad_token_id)
    rows = probes(paths.templated, settings.probes, len(tokenizer), prompts=head is not None)
    with Reloader() as reloader, written(paths.merged) as out:
        trained: Trained
        if head is None:
            trained = open_trained(base, adapter, paths.trained, how)
        else:
            trained = Headed(base, adapter, paths.trained, head)
        check_tokenizer(tokenizer, trained.rows)
        with foreign(paths.trained, "restore the files of both, or train again", "the trained model cannot be run"):
            before, expected = trained.live(rows)
        effect = compare(before, expected, "the trained model")
        out.mkdir()
        trained.write(tokenizer, dtype, settings.dtype == "base", out)
        stops = save_stops(out, (base, paths.tokenizer), tokenizer) if head is None else set()
        difference = compare(expected, reloader.logits(out, rows), str(PATHS.merged), stops)
        _judge(settings, adapter, how, dtype, difference, effect)
        new = check_new_tokens(base, out, tokenizer, paths.templated) if head is None else 0
        facts = {
            "method": adapter.kind if adapter else "full",
            "base": record["sha256"],
            "parameters": parameters(out),
            "by": trained.by,
            "into": f"the base as {how.quantization.scheme} left it"
            if how.quantization
            else "the base as it is stored",
            **({"combined": settings.combine.model_dump(mode="json")} if settings.combine else {}),
            **({"classes": [*head.classes]} if head else {}),
            **({"threshold": head.threshold} if head and head.threshold is not None else {}),
            "new_tokens": new,
            "stops": tokenizer.convert_ids_to_tokens(ordered(stops, tokenizer)),
            "arithmetic": "float32",
            "dtype": str(dtype).removeprefix("torch."),
            "tolerance": settings.tolerance,
            "max_error": settings.max_error,
            "effect": {"max_logit_difference": digits(effect.largest), "kl_per_token": digits(effect.divergence)},
            **difference.as_dict(),
        }
        write_json(out / "merge.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    print(
        f"merge: {facts['parameters']:,} parameters, largest logit difference {shown(difference.largest, 2)}",
        flush=True,
    )


def _adapter(paths: Paths, record: dict[str, Any]) -> Adapter | None:
    """The adapter in data/trained; None where every weight was tuned."""
    if (paths.trained / "adapter_config.json").is_file():
        return read(paths.trained, record)
    if not (paths.trained / "config.json").is_file():
        raise InputError(f"{paths.trained}: neither an adapter nor a model; run the stage train first.")
    return None


def _how(settings: Settings, paths: Paths, record: dict[str, Any], adapter: Adapter | None) -> MergeOptions:
    """Raises `InputError` and `ModelError` where adapters cannot be combined as the settings ask."""
    if adapter is None:
        if settings.combine is None:
            return MergeOptions()
        models = other_adapters(settings.combine, paths.adapters)
        for folder in models.values():
            if training_record(folder).base not in (None, record["sha256"]):
                raise ModelError(f"merge.combine.weights: {folder} was tuned from another base; remove it.")
        return MergeOptions(combine=settings.combine, models=models)
    quantization = trained_on(settings.trained_on, settings.double_quant, paths.trained)
    recorded = trained_on("auto", settings.double_quant, paths.trained)
    reference = recorded if (paths.trained / "training.json").is_file() else quantization
    if settings.combine is None:
        return MergeOptions(quantization, reference)
    folders = adapter_folders(settings.combine, paths.trained, paths.adapters)
    others = {name: read(folder, record) for name, folder in folders.items() if name != TRAINED}
    configs = {TRAINED: adapter.config, **{name: other.config for name, other in others.items()}}
    check_combinable(configs, settings.combine)
    return MergeOptions(quantization, reference, settings.combine, others)


def _judge(
    settings: Settings,
    adapter: Adapter | None,
    how: MergeOptions,
    dtype: torch.dtype,
    difference: Difference,
    effect: Difference,
) -> None:
    """Raise `CheckFailed` unless what was written computes what was trained, as closely as its type can say it."""
    if adapter and effect.largest == 0:
        raise CheckFailed(
            f"{adapter.folder}: the adapter changes no logit of the base on {effect.probes} probes, so nothing was "
            "trained, or this is not the adapter that was trained; run the stage train again."
        )
    if dtype == torch.float32 and how.exact:
        if difference.largest > settings.tolerance:
            raise CheckFailed(
                f"{PATHS.merged}: a logit of the merged model differs by {shown(difference.largest, 3)} from that of "
                f"the base with the live adapter, more than merge.tolerance = {shown(settings.tolerance)} allows; use "
                "the adapter unmerged, or raise the tolerance."
            )
        return
    share = difference.divergence / effect.divergence if effect.divergence else 0.0
    if share > settings.max_error:
        kind = str(dtype).removeprefix("torch.")
        why = f"{kind} rounds the update away. Set merge.dtype to float32, or use the adapter unmerged."
        if how.quantization != how.reference:
            left = f"as {how.reference.scheme} left it" if how.reference else "as it is stored"
            why = f"it was trained on the base {left}. Set merge.trained_on to auto, or use the adapter unmerged."
        raise CheckFailed(
            f"{PATHS.merged}: stored as {kind}, the merged model diverges from the base with the live adapter by "
            f"{shown(difference.divergence, 3)} nats per token. That is {share:.1%} of the "
            f"{shown(effect.divergence, 3)} that training caused, more than merge.max_error = "
            f"{shown(settings.max_error)} allows: {why}"
        )
