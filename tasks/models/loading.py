"""A causal language model and its tokenizer from a folder, whatever the format. Heavy libraries load when called."""

import json
from collections.abc import Sized
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, ModelError
from tasks.models.classes import from_pretrained
from tasks.models.foreign import foreign
from tasks.models.private_transformers import gguf_tokenizer
from tasks.models.tokenizer_bounds import check_file, try_out

MOST_TOKENS = 2**22
"""Ids from here on belong to no token: the largest vocabularies have some 260,000."""


def load_model(folder: Path, dtype: Any = "auto", device: str | None = None) -> Any:
    """The model in `folder`, ready to generate: Hugging Face safetensors, bitsandbytes included.

    `dtype`: a torch type, or auto for the one it is stored in. `device`: where it goes, such as cuda; None for the CPU.
    Raises `InputError` where there is no folder, `ModelError` for a GGUF file: `tasks.models.gguf.model` runs those.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run the stage that creates it first.")
    if gguf_file(folder):
        raise ModelError(
            f"{folder}: a GGUF file, which transformers cannot load; serve it with llama.cpp and name the endpoint, or "
            "provide the model as safetensors."
        )
    model = from_pretrained(folder, dtype=dtype, device_map=device)
    keep_packing(model)
    return model.eval()


def check_finite(model: Any, folder: Path) -> None:
    """Raise `ModelError` where a weight of `model`, loaded from `folder`, is NaN or infinite."""
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise ModelError(f"{folder}: {name} contains NaN or infinite values; restore the files of the model.")


def grow(model: Any, tokenizer: Sized) -> bool:
    """Give `model` a row of embeddings for each token that it lacks, the mean of those it has; whether it lacked any.

    The mean, as the expectation of what transformers draws (Hewitt 2021, "Initializing New Word Embeddings for
    Pretrained Language Models"), so that two runs begin alike.
    """
    import torch

    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) <= known:
        return False
    kinds = [type(layer) for layer in _ends(model)]
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for layer, kind in zip(_ends(model), kinds, strict=True):
            layer.__class__ = kind  # torch's own class stands there now, also where `tasks.models.compact` had put one
            layer.weight[known:] = layer.weight[:known].float().mean(0)
    return True


def _ends(model: Any) -> list[Any]:
    """The embeddings, and the head where there is one."""
    return [layer for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None]


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`: its own files, or what a GGUF file there holds, read as llama.cpp reads it.

    Raises `ModelError` where there is none, or one with token ids that no model has rows for.
    """
    from transformers import AutoTokenizer

    file = gguf_file(folder)
    with foreign(folder, "restore its files", "it has no tokenizer that can be loaded"):
        patterns = check_file(folder)
        if file is None or (folder / "tokenizer_config.json").is_file():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        else:
            loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, gguf_file=file.name)
            tokenizer = _as_llama_cpp(loaded, file)
        check_ids(tokenizer, str(folder))
        try_out(tokenizer, patterns, folder)
    return tokenizer


def check_ids(tokenizer: Any, name: str) -> None:
    """Raise `ModelError`, with the tokenizer's `name`, where an id is beyond `MOST_TOKENS`: arrays go by ids."""
    text, largest = max(tokenizer.get_vocab().items(), key=lambda pair: pair[1], default=("", 0))
    if largest >= MOST_TOKENS:
        raise ModelError(
            f"{name}: the token {text[:40]!r} has the id {largest}, and no vocabulary has more than {MOST_TOKENS:,} "
            "tokens; restore tokenizer.json."
        )


def _as_llama_cpp(loaded: Any, file: Path) -> Any:
    """`loaded`, which transformers read from a GGUF file, with the token ids that llama.cpp gives.

    transformers 5.23 puts no space after a control token, where llama.cpp and sentencepiece's tokenizers do, so a
    rendered chat came out in other tokens than those of the training; and it adds `<|endoftext|>` to every byte-level
    vocabulary, a token that the model has no embedding for.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    inside = gguf_tokenizer(file)
    backend = json.loads(loaded.backend_tokenizer.to_str())
    backend["added_tokens"] = [token for token in backend["added_tokens"] if token["id"] < len(inside["tokens"])]
    if inside["tokenizer_type"] == "llama":
        space = [{"type": "Prepend", "prepend": "\u2581"}] if inside.get("add_prefix_space", True) else []
        blanks = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        backend |= {"normalizer": {"type": "Sequence", "normalizers": [*space, blanks]}, "pre_tokenizer": None}
    names = {name: getattr(loaded, name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)), chat_template=loaded.chat_template, **names
    )


def gguf_file(folder: Path) -> Path | None:
    """The GGUF file in `folder`, or None where it holds another format."""
    return next(iter(sorted(folder.glob("*.gguf"))), None)


def bits_and_bytes(scheme: str, compute: Any, *, double: bool = True, whole: list[str] | None = None) -> Any:
    """transformers' configuration for nf4, fp4 or int8 by bitsandbytes.

    `compute`: torch's type in which 4-bit weights are multiplied. `double`: whether their scales are quantised too.
    `whole`: names of layers that stay as they are; None: transformers' choice, the head that gives the next token.
    """
    from transformers import BitsAndBytesConfig

    if scheme == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=whole)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=scheme,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=whole,
    )


def keep_packing(model: Any) -> None:
    """Stop bitsandbytes from repacking weights in place at the first forward; models not in 4 bits stay as they are.

    On processors with AVX512-BF16 it does so in evaluation mode without gradients; training and saving afterwards use
    the repacked bytes as if they were not, without a word (bitsandbytes 0.50).
    """
    if not getattr(model, "is_loaded_in_4bit", False):
        return
    import bitsandbytes as bnb

    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False
