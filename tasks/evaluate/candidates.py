"""Where the model of a candidate comes from."""

from pathlib import Path
from typing import Any

from tasks.chat.stops import setting, stop_ids
from tasks.core.errors import InputError, ModelError, SettingsError
from tasks.core.paths import Paths
from tasks.core.settings import read
from tasks.evaluate.settings import BASES, KNOWN, RETRIEVED, TUNED, Settings
from tasks.models.adapter_files import adapter_config, training_record
from tasks.models.foreign import foreign
from tasks.models.gguf.whole import check_whole
from tasks.models.head import Head
from tasks.models.loading import gguf_file, grow, load_model, load_tokenizer
from tasks.models.record import base_folder, hub_folder
from tasks.named.choices import hint
from tasks.named.names import inside

WORDED = ("base_system", "base_few_shot")
"""Candidates that differ from the base in what stands before a question, which an embedding model does not heed."""


def check(candidate: str, settings: Settings, paths: Paths) -> None:
    """Raise `SettingsError` for a name that is neither known, nor in the settings, nor a folder in data/quantized."""
    known = [*KNOWN, *RETRIEVED, *settings.models, *settings.hosted, *settings.documents, *settings.prompts]
    if candidate in known or (candidate and paths.quantized(candidate).is_dir()):
        return
    quantized = sorted(folder.name for folder in paths.quantized("").glob("[!.]*") if folder.is_dir())
    raise SettingsError(
        f"evaluate: unknown candidate '{candidate}' (a quantised model becomes one once it exists); "
        f"{hint(candidate, [*known, *quantized])}"
    )


def kind(candidate: str, settings: Settings) -> str:
    """`free` (no tuning), `tuned`, `quantised`, or `other` for a model to compare with."""
    if candidate in KNOWN or is_base(candidate, settings):
        return "free" if is_base(candidate, settings) else "tuned"
    if candidate in RETRIEVED:
        return "other"
    return "other" if candidate in settings.models or candidate in settings.hosted else "quantised"


def is_apart(candidate: str, paths: Paths) -> bool:
    """Whether `candidate` is a model of its own: `trained` is one where train made a model and align another of it."""
    if candidate != "trained":
        return True
    objective = (read(paths.params, "safe").get("align") or {}).get("objective", "off")
    return objective not in ("off", "reward") and (paths.fitted / "training.json").is_file()


def is_base(candidate: str, settings: Settings) -> bool:
    """Whether it is the base model, however it is asked."""
    asked = (*BASES, *settings.documents, *settings.prompts)
    return candidate in asked or RETRIEVED.get(candidate) == "base"


def folders(candidate: str, settings: Settings, paths: Paths) -> list[Path]:
    """The folders that a candidate's answers come from, its tokenizer's last."""
    tokenizer_folder = paths.tokenizer
    if is_base(candidate, settings):
        return [base_folder(paths), tokenizer_folder]
    if candidate in TUNED:
        tuned = paths.fitted if candidate == "trained" else paths.trained
        whole_model = not (tuned / "adapter_config.json").is_file()
        if whole_model and not (tuned / "config.json").is_file():
            raise InputError(f"{tuned}: neither an adapter nor a model; run the stage train first.")
        return [tuned, tokenizer_folder] if whole_model else [base_folder(paths), tuned, tokenizer_folder]
    if RETRIEVED.get(candidate, candidate) == "merged":
        return [paths.merged, tokenizer_folder]
    if candidate in settings.models:
        folder = inside(paths.root, settings.models[candidate], f"evaluate.models.{candidate}")
        return [folder, folder]
    if hosted := settings.hosted.get(candidate):
        folder = hub_folder(*str(hosted.hub).split("@"))
        return [folder, folder]
    return [paths.quantized(candidate), tokenizer_folder]


def chat_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`; raises `ModelError` where it has no chat template to ask by."""
    if file := gguf_file(folder):
        check_whole(file)
    tokenizer = load_tokenizer(folder)
    if not tokenizer.chat_template:
        raise ModelError(f"{folder}: the tokenizer has no chat template, so the model cannot be asked; add one.")
    return tokenizer


def load(candidate: str, settings: Settings, every: list[Path], tokenizer: Any) -> Any:
    """The model in the candidate's `folders`, on the best device, set to decode greedily and to stop where turns end.

    Every candidate gets the same generation settings: some bases bring a repetition penalty or sampling of their own,
    and some a wrong eos, which would let an answer run on. It stops at the tokenizer's eos and at every token that the
    folders of its model and of its tokenizer name. A GGUF file is run by llama.cpp, as its users run it.
    """
    import torch
    from transformers import GenerationConfig

    device = "cuda" if torch.cuda.is_available() else None
    first, *more = every
    model: Any
    if file := gguf_file(first):
        from tasks.models.gguf.model import LlamaCpp
        from tasks.models.gguf.proof import check_file

        if candidate in settings.models:  # from elsewhere; those of the stage quantize are proved
            check_file(file)
        model = LlamaCpp(file)
    else:
        head = Head.recorded(training_record(more[0]), tokenizer.pad_token_id) if len(more) > 1 else None
        model = head.load(first, device_map=device, dtype="auto").eval() if head else load_model(first, device=device)
    if is_base(candidate, settings) or candidate in TUNED:
        grow(model, tokenizer)
    if len(more) > 1:
        from peft import PeftModel

        adapter_config(more[0])
        with foreign(more[0], "train again"):
            model = PeftModel.from_pretrained(model, more[0]).eval()
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=setting(set().union(*(stop_ids(folder, tokenizer) for folder in every)), tokenizer),
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
    )
    return model
