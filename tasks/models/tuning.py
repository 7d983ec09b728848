"""The model that is trained: loaded with the weights that training wants, and saved by a whitelist of files."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from tasks.core.files import write_json
from tasks.models.classes import auto_class, from_pretrained, model_config
from tasks.models.compact import HALVES, compact
from tasks.models.embedder import Embedder
from tasks.models.head import Head
from tasks.models.loading import bits_and_bytes
from tasks.models.private_peft import without_card
from tasks.models.shards import stored_tensors
from tasks.training import sharding
from tasks.training.adapters import INITIAL
from tasks.training.arguments import bfloat16, width
from tasks.training.dtypes import keeps_halves
from tasks.training.methods import METHODS
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning


def load(folder: Path, tuning: Tuning, settings: Optimization, head: Head | Embedder | None = None) -> Any:
    """The model in `folder`, held as `tasks.training.dtypes` says; `attach` widens what is to be trained.

    `head`: what it becomes, a classifier or, without a head, an embedding model; None: it stays a model of language.
    """
    config = model_config(folder)
    halved = bfloat16(settings.dtype, not torch.cuda.is_available(), width(config))
    stored = {tensor.dtype for tensor in stored_tensors(folder).values() if tensor.dtype.is_floating_point}
    halves = [kind for kind in HALVES if kind in stored]
    rounded = METHODS[tuning.method].kind is None and tuning.weights != "float32"
    alike = len(stored) == len(halves) == 1 and not tuning.quantized
    kind = torch.bfloat16 if rounded else halves[0] if halves and keeps_halves(tuning) else None
    options = tuning.attention_options | (_quantization(tuning.quantized, halved) if tuning.quantized else {})
    options |= sharding.loading(settings)
    opened = head.load if head else from_pretrained
    model = opened(folder, dtype=kind if kind and alike else torch.float32, **options)
    if kind:
        compact(model, kind, experts=halved, rounding=rounded, divided=sharding.is_shared(model))
    if next(model.parameters()).dtype in HALVES:
        _compute_buffers(model, model.config if head else config)
    text = model.config.get_text_config()
    if hasattr(text, "num_local_experts") and not hasattr(text, "num_experts"):
        text.num_experts = text.num_local_experts  # trl 1.16 asks every mixture for it by this name
    if tuning.quantized and getattr(text, "altup_coef_clip", None) is not None:
        # Gemma 3n clips weights as numbers while it trains, which here are frozen and packed; its class wants a number
        text.__dict__["altup_coef_clip"] = None
    return model


def _quantization(scheme: str, halved: bool) -> dict[str, Any]:
    """What `from_pretrained` needs to quantise the base; `halved`: for arithmetic in bfloat16."""
    config = bits_and_bytes(scheme, torch.bfloat16 if halved else torch.float32)
    placed = {"device_map": {"": int(os.environ.get("LOCAL_RANK", 0))}} if torch.cuda.is_available() else {}
    return {"quantization_config": config, **placed}


def _compute_buffers(model: Any, config: Any) -> None:
    """Compute what no file holds, such as the scale of Gemma's embeddings, in float32; loading rounded it to 16 bits.

    The type in the configuration becomes float32 too: it is that of what is trained and saved.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        wide = auto_class(config).from_config(config, dtype=torch.float32)
    stored, buffers = set(wide.state_dict()), dict(model.named_buffers())
    for name, buffer in wide.named_buffers():
        if name not in stored and buffer.is_floating_point():
            buffers[name].data = buffer.to(buffers[name].device)
    for part in {id(part): part for part in (model.config, model.config.get_text_config())}.values():
        part.dtype = torch.float32


def described(tuning: Tuning) -> dict[str, Any]:
    """What `training.json` says of the method, for the stages that use its result."""
    scheme = tuning.quantized
    quantization = {"quantization": {"scheme": scheme, "double_quant": scheme != "int8"}} if scheme else {}
    return {"method": tuning.method, **quantization}


def initial(tuning: Tuning, scratch: Path) -> Path | None:
    """Where the adapter lies as it was before training, if what is saved is the difference to it."""
    return scratch / INITIAL if METHODS[tuning.method].plain else None


def save(model: Any, out: Path, base: str, start: Path | None = None) -> None:
    """Save an adapter or a whole model into the folder `out`, in bytes that depend on the weights only.

    `base` is what `base_model_name_or_path` of an adapter shall say. `start`: see `initial`. peft writes sets in hash
    order, which is mended here, and a model card that holds versions, which is left out.
    """
    options: dict[str, Any] = {}
    if hasattr(model, "peft_config"):
        # peft would add the embeddings a second time where they grew: they are among the modules that it saves
        options["save_embedding_layers"] = False
        options["selected_adapters"] = ["default"]  # and not the copy that a preference loss compares with
        if start is not None:
            options["path_initial_model_for_weight_conversion"] = str(start)
    with warnings.catch_warnings(), without_card(model):
        # said of the copy as it was before training, which peft loads for the difference and puts away again
        warnings.filterwarnings("ignore", message="(PiSSA|OLoRA) changes the base weights")
        if sharding.is_shared(model) and not hasattr(model, "peft_config"):
            _save_shared(model, out)
        elif sharding.is_shared(model):  # peft would gather the base, for which all processes have to meet
            model.save_pretrained(out, state_dict=sharding.own_weights(model), **options)
        else:
            model.save_pretrained(out, **options)
    config = out / "adapter_config.json"
    if config.exists():
        values = json.loads(config.read_text())
        values["base_model_name_or_path"] = base
        for name in ("target_modules", "modules_to_save", "exclude_modules"):
            if isinstance(values.get(name), list):
                values[name] = sorted(values[name])
        if values.get("ensure_weight_tying") and (saved := values.get("modules_to_save")):
            values["modules_to_save"] = _tied_again(saved, model)
        write_json(config, values)


def _save_shared(model: Any, out: Path) -> None:
    """As transformers' `save_pretrained`, with no process that holds all weights at one time."""
    model.config.dtype = str(model.dtype).partition(".")[2]
    model.config.architectures = [type(model).__name__.removeprefix("FSDP")]
    model.config.save_pretrained(out)
    if model.can_generate():
        model.generation_config.save_pretrained(out)
    sharding.save_weights(model, out)


def _tied_again(saved: list[str], model: Any) -> list[str]:
    """Names of the modules that an adapter saves, with the head's where peft would not tie it to the embeddings again.

    Loading, peft 0.21 looks for the names embed_tokens and lm_head, and saving it leaves lm_head out; the embeddings of
    GPT-2, Falcon and others have other names.
    """
    names = {name.rpartition(".")[2] for name in saved}
    heads = {path.rpartition(".")[2] for path, _ in model.named_modules()} & {"lm_head"}
    return sorted({*saved, *heads}) if heads and not names & {"embed_tokens", "lm_head"} else saved
