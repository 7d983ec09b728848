"""A model folder to one GGUF file, by llama.cpp's own converter in a process of its own.

Tensors are read when they are written, so that memory holds one at a time. What the converter cannot know of a
tokenizer that was trained or extended here, `tasks.models.gguf.tokenizer` reads from its structure.
"""

import json
import logging
from pathlib import Path
from typing import Any

from tasks.chat.stops import stop_ids
from tasks.core.errors import CheckFailed, ModelError
from tasks.models.apart import apart
from tasks.models.gguf import converter, fields
from tasks.models.gguf.limits import context
from tasks.models.gguf.stops import add_stops, report_lost
from tasks.models.loading import load_tokenizer

ADVICE = "remove the gguf schemes from quantize.schemes, and ollama from export.formats"


def write_gguf(merged: Path, path: Path, kind: str, rows: list[list[int]] | None = None) -> None:
    """Write the model in the folder `merged` to `path`, its matrices as `kind`.

    `rows`: token ids on which the importance of columns is measured; for kinds of `MIXTURES`.

    Raises `ModelError` for an architecture that llama.cpp does not convert, `CheckFailed` where converting fails.
    """
    from tasks.models.gguf.requantize import requantize

    config = json.loads((merged / "config.json").read_text())
    converter.check(config, f"gguf-{kind}", ADVICE)
    tokenizer = load_tokenizer(merged)
    report_lost(tokenizer, stop_ids(merged, tokenizer))
    if kind in converter.TYPES:
        apart(f"gguf-{kind}", convert, merged, path, kind)
        return
    whole = path.with_name(f".{path.name}")
    try:
        apart(f"gguf-{kind}", convert, merged, whole, "f32")
        apart(f"gguf-{kind}", requantize, whole, path, kind, rows or [])
    finally:
        whole.unlink(missing_ok=True)


def convert(merged: Path, path: Path, kind: str) -> None:
    """Convert as `kind` (of `converter.TYPES`); only in a process that ends then."""
    converter.enter()
    import gguf
    import torch
    import transformers
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    for name in ("hf-to-gguf", "gguf"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _distrust(transformers.AutoTokenizer)
    types = gguf.LlamaFileType
    with torch.inference_mode():
        hparams = fields.older(ModelBase.load_hparams(merged, False))
        chosen = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
        settings = {"model_arch": chosen.model_arch, "longest": context(hparams)}
        if chosen.supports_mtp_export:
            settings["no_mtp"] = not fields.has_drafts(merged)
        converted = type(chosen.__name__, (_Completed, chosen), settings)
        file_type = types.ALL_F32 if kind == "f32" else types[f"MOSTLY_{kind.upper()}"]
        converted(merged, file_type, path, hparams=hparams, model_name="model").write()
    if not path.is_file():
        raise CheckFailed(f"gguf-{kind}: llama.cpp's converter wrote no file; {ADVICE}.")


def _distrust(tokenizers: Any) -> None:
    """Tokenizers are loaded without code of their own; the converter would run it."""
    load = tokenizers.from_pretrained

    def loaded(*arguments: Any, **options: Any) -> Any:
        return load(*arguments, **{**options, "trust_remote_code": False})

    tokenizers.from_pretrained = loaded


class _Completed:
    """Before a class of the converter among the bases: what it does not know of this model is added."""

    gguf_writer: Any
    dir_model: Path
    hparams: dict[str, Any]
    model_arch: Any
    longest: int | None
    """Tokens of context, where that is less than the model's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if inner := getattr(self, "impl", None):  # Mistral 3 leaves its work to another class
            kind = type(inner)
            inner.__class__ = type(
                kind.__name__, (_Completed, kind), {"model_arch": kind.model_arch, "longest": self.longest}
            )

    def set_gguf_parameters(self) -> None:
        import gguf

        super().set_gguf_parameters()  # type: ignore[misc]
        fields.complete(self.gguf_writer, gguf.MODEL_ARCH_NAMES[self.model_arch], self.hparams, self.longest)

    def get_vocab_base_pre(self, tokenizer: Any) -> str:
        from tasks.models.gguf.tokenizer import words

        try:
            return str(super().get_vocab_base_pre(tokenizer))  # type: ignore[misc]
        except NotImplementedError:
            return words(json.loads(tokenizer.backend_tokenizer.to_str()))

    def set_vocab(self) -> None:
        from transformers import AutoTokenizer

        from tasks.models.gguf.tokenizer import add_tokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.dir_model)
        before = [dict(values) for values in self.gguf_writer.kv_data]
        try:
            super().set_vocab()  # type: ignore[misc]
        except ModelError:
            raise
        except Exception:
            self.gguf_writer.kv_data = before
            add_tokenizer(self.gguf_writer, tokenizer, self.hparams["vocab_size"])
        add_stops(self.gguf_writer, tokenizer, stop_ids(self.dir_model, tokenizer))
