"""A model that gives a text a vector: how tokens become one, and the files by which sentence-transformers knows it.

    Embedder.of(folder)  # Embedder(pooling="mean", normalize=True, query="", document="", length=512)

The files are those of sentence-transformers 2 and later: modules.json names a Transformer, a Pooling and, where vectors
have length 1, a Normalize.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, ModelError
from tasks.core.files import write_json
from tasks.core.json_files import read_object, read_objects
from tasks.models.foreign import check_complete

MODULES, SIZES, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
POOLING, NORMALIZE = "1_Pooling", "2_Normalize"

MODES = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}
"""Ways to pool, and what `pooling_mode_...` of 1_Pooling/config.json calls them."""

NAMES = {"mean": "mean", "cls": "cls", "last": "lasttoken"}
"""What `pooling_mode` calls them since sentence-transformers 5.4."""

POOLER = "pooler."
"""Weights that encoders bring for another task: nothing here reads them."""


def is_embedder(folder: Path) -> bool:
    """Whether the folder, of a model or of its tokenizer, says how a text becomes a vector."""
    return (folder / MODULES).is_file()


@dataclass(frozen=True)
class Embedder:
    """From token ids to a vector."""

    pooling: str
    """mean of the tokens' vectors; cls: that of the first token; last: that of the last one."""
    normalize: bool
    """Whether vectors are brought to length 1."""
    query: str
    """What stands before a question."""
    document: str
    """What stands before a document."""
    length: int
    """Tokens of the longest text; sentence-transformers cuts longer ones."""

    @classmethod
    def of(cls, folder: Path) -> "Embedder":
        """As the files in `folder` say.

        Raises `ModelError` where there are none, or they name modules that are not known here.
        """
        if not is_embedder(folder):
            raise ModelError(
                f"{folder}: no {MODULES}, so this is not a sentence-transformers model; name another folder."
            )
        modules = [str(one.get("type", "")).rpartition(".")[2] for one in read_objects(folder / MODULES, ModelError)]
        if modules not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise ModelError(
                f"{folder / MODULES}: the modules are {', '.join(modules)}, but temper supports only Transformer, "
                "Pooling and Normalize, in this order; choose another model."
            )
        if not (file := folder / POOLING / "config.json").is_file():
            raise ModelError(f"{file}: no such file; restore the files of the model.")
        values = read_object(file, ModelError)
        modes = [mode for mode, name in MODES.items() if values.get(f"pooling_mode_{name}")]
        modes += [mode for mode, name in NAMES.items() if values.get("pooling_mode") in (name, [name])]
        others = [name for name, on in values.items() if name.startswith("pooling_mode_") and on]
        if len(modes) != 1 or len(others) > 1 or values.get("include_prompt") is False:
            raise ModelError(
                f"{file}: temper pools by exactly one of {', '.join(MODES)}, and over all tokens (include_prompt); "
                "choose another model."
            )
        prompts = _optional(folder / PROMPTS).get("prompts") or {}
        length = _optional(folder / SIZES).get("max_seq_length")
        if not isinstance(length, int):
            raise ModelError(
                f"{folder / SIZES}: max_seq_length is missing; set it to the most tokens that a text may have."
            )
        document = prompts.get("document") or prompts.get("passage") or ""
        return cls(modes[0], len(modules) == 3, prompts.get("query") or "", document, length)

    def save(self, out: Path, width: int) -> None:
        """Write the files into `out`; `width`: numbers of a vector."""
        names = ["", POOLING, *([NORMALIZE] if self.normalize else [])]
        kinds = ("Transformer", "Pooling", "Normalize")
        write_json(
            out / MODULES,
            [
                {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for number, (path, kind) in enumerate(zip(names, kinds, strict=False))
            ],
        )
        (out / POOLING).mkdir(exist_ok=True)
        modes = {f"pooling_mode_{name}": mode == self.pooling for mode, name in MODES.items()}
        write_json(out / POOLING / "config.json", {"word_embedding_dimension": width, **modes, "include_prompt": True})
        if self.normalize:
            (out / NORMALIZE).mkdir(exist_ok=True)
            write_json(out / NORMALIZE / "config.json", {})
        write_json(out / SIZES, {"max_seq_length": self.length, "do_lower_case": False})
        prompts = {"query": self.query, "document": self.document}
        write_json(out / PROMPTS, {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"})

    def ids(self, tokenizer: Any, texts: list[str], *, query: bool = False, cut: bool = True) -> list[list[int]]:
        """Token ids of texts as sentence-transformers makes them; `cut`: to `length` tokens."""
        if not texts:
            return []
        before = self.query if query else self.document
        options = {"truncation": True, "max_length": self.length} if cut else {}
        ids: list[list[int]] = tokenizer([before + text for text in texts], verbose=False, **options)["input_ids"]
        return ids

    def load(self, folder: Path, **options: Any) -> Any:
        """The model in `folder` without a head, `options` as transformers has them.

        Raises `ModelError` where weights are missing, NaN or infinite; those of a pooler, which nothing reads, become
        zero where they are missing.
        """
        import torch
        from transformers import AutoModel

        from tasks.models.classes import from_pretrained, unreported
        from tasks.models.loading import check_finite, keep_packing

        with unreported():
            model, report = from_pretrained(folder, kind=AutoModel, output_loading_info=True, **options)
        check_kind(model.config, str(folder))
        missing = sorted(report["missing_keys"])
        check_complete(folder, [name for name in missing if not name.startswith(POOLER)])
        with torch.no_grad():
            for name in missing:
                model.get_parameter(name).zero_()
        keep_packing(model)
        if not hasattr(model.config, "quantization_config"):  # weights of some libraries cannot be asked
            check_finite(model, folder)  # attention on a processor makes numbers of NaN, so vectors do not show it
        model.config.architectures = [type(model).__name__]
        return model

    def vectors(self, model: Any, ids: Any, mask: Any) -> Any:
        """Vectors (B, D) in float32 of texts (B, T), filled up on the right where `mask` is 0."""
        import torch

        options = {"use_cache": False} if getattr(model.config, "use_cache", None) is not None else {}
        hidden = model(input_ids=ids, attention_mask=mask, **options).last_hidden_state.float()  # (B, T, D)
        if self.pooling == "mean":
            there = mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * there).sum(1) / there.sum(1)
        elif self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled

    def embedded(self, model: Any, rows: list[list[int]]) -> list[Any]:
        """The vector (D,) of each text in `rows` (token ids), one at a time so that padding plays no part."""
        import torch

        from tasks.models.head import filled

        model.eval()
        with torch.no_grad():
            return [self.vectors(model, *(part.to(model.device) for part in filled([row], 0)))[0].cpu() for row in rows]


def check_kind(config: Any, location: str) -> None:
    """Raise `ModelError` where a model with this configuration gives no vector for each token of a text alone."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES as KNOWN

    if getattr(config, "is_encoder_decoder", False):
        why = "an encoder-decoder"
    elif config.get_text_config() is not config:
        why = "a multimodal model"
    elif config.model_type not in KNOWN:
        why = f"a model of the type {config.model_type!r}, which transformers cannot load without its head"
    else:
        return
    raise ModelError(
        f"{location}: this is {why}, but embeddings need a text-only decoder or encoder; choose another base, or set "
        "train.objective to rows."
    )


def _optional(file: Path) -> dict[str, Any]:
    try:
        return read_object(file, ModelError)
    except (FileNotFoundError, InputError):
        return {}
