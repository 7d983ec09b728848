"""One scheme from data/merged to data/quantized/SCHEME, and the proof that what was written still is the model."""

from pathlib import Path
from typing import Any

import torch

from tasks.contract.errors import CheckFailed
from tasks.contract.files import write_json, written
from tasks.contract.loading import gguf_file, load_model
from tasks.contract.paths import Paths
from tasks.merge.equivalence import compare, logits, probes
from tasks.quantize import Settings


def quantize(settings: Settings, paths: Paths, scheme: str) -> None:
    """Write the model by `scheme`; raise `CheckFailed` where it is too far from the merged one."""
    torch.set_num_threads(1)
    model = load_model(paths.merged, torch.float32)
    rows = probes(paths.templated, settings.probes, model.config.get_text_config().vocab_size)
    expected = logits(model, rows)
    with written(paths.quantized(scheme)) as out:
        out.mkdir()
        _write(scheme, paths.merged, out)
        difference = compare(expected, logits(load_model(out), rows), f"data/quantized/{scheme}")
        before, after = weight_bytes(paths.merged), weight_bytes(out)
        facts = {
            "scheme": scheme,
            "bytes": after,
            "merged_bytes": before,
            "ratio": round(after / before, 4),
            "same_token_ids": _same_token_ids(paths.merged, out, rows),
            **difference.as_dict(),
        }
        if difference.divergence > settings.max_divergence:
            raise CheckFailed(
                f"data/quantized/{scheme}: diverges from the merged model by {difference.divergence:.3g} nats a token, "
                f"more than quantize.max_divergence = {settings.max_divergence:g} allows (same next token in "
                f"{difference.agreement:.1%}); drop {scheme} from quantize.schemes, or raise the limit."
            )
        write_json(out / "quantization.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json", exclude={"schemes"}))
    print(
        f"quantize {scheme}: {after:,} bytes, {facts['ratio']:.0%} of merged; "
        f"{difference.divergence:.2g} nats a token from it, same next token in {difference.agreement:.1%}",
        flush=True,
    )


def _write(scheme: str, merged: Path, out: Path) -> None:
    if scheme == "gguf-q8_0":
        from tasks.quantize.gguf import write_gguf

        write_gguf(merged, out / "model-q8_0.gguf")
    else:
        from tasks.quantize.bits import write_bits

        write_bits(scheme, merged, out)


def weight_bytes(folder: Path) -> int:
    """Bytes of the files that hold weights."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in {".safetensors", ".gguf"})


def _same_token_ids(merged: Path, out: Path, rows: list[list[int]]) -> bool:
    """Whether the tokenizer in `out` gives the ids of the merged model's on the texts of the probes.

    transformers reads a sentencepiece-like GGUF without the space that such tokenizers put after a control token, so
    there this may be false for a sound file.
    """
    from transformers import AutoTokenizer

    known = AutoTokenizer.from_pretrained(merged, trust_remote_code=False)
    gguf = gguf_file(out)
    options: dict[str, Any] = {"gguf_file": gguf.name} if gguf else {}
    found = AutoTokenizer.from_pretrained(out, trust_remote_code=False, **options)
    texts = known.batch_decode(rows)
    ids: list[list[int]] = known(texts, add_special_tokens=False)["input_ids"]
    return bool(ids == found(texts, add_special_tokens=False)["input_ids"])
