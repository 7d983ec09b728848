"""Which engine computes which model: chosen by what is there."""

import importlib.util
import shutil

from tasks.evaluate.settings import Settings
from tasks.models.adapter_files import adapter_config
from tasks.models.for_vllm import adapter_problem
from tasks.serve.engine import Engine
from tasks.serve.models import Model


def engines(models: list[Model], settings: Settings, tokenizers: dict[str, object]) -> dict[str, Engine]:
    """The engine of each of `models`, loaded: llama.cpp for GGUF, vLLM on a card, else transformers.

    Raises `ModelError` for what no engine here can load.
    """
    by_name: dict[str, Engine] = {}
    files = [model for model in models if model.gguf]
    folders = [model for model in models if not model.gguf]
    for model in files:
        from tasks.serve.by_llama import LlamaCpp

        by_name[model.name] = LlamaCpp(model, settings.threads, tokenizers[model.name])
    if folders and vllm_fits(folders):
        from tasks.serve.by_vllm import Vllm

        by_name |= dict.fromkeys([model.name for model in folders], Vllm(folders))
    elif folders:
        from tasks.serve.by_transformers import Transformers

        by_name |= dict.fromkeys([model.name for model in folders], Transformers(folders, settings, tokenizers))
    return by_name


def vllm_fits(models: list[Model]) -> bool:
    """Whether vLLM is installed, a card is there, and the models are one base and plain LoRA adapters of it."""
    if not (shutil.which("vllm") or importlib.util.find_spec("vllm")) or len({model.base for model in models}) > 1:
        return False
    if any(model.adapter and adapter_problem(adapter_config(model.adapter)) for model in models):
        return False
    import torch

    return torch.cuda.is_available()
