"""One scheme from data/merged to data/quantized/SCHEME, and the proof that what was written still is the model."""

from pathlib import Path

import torch

from tasks.core.errors import CheckFailed
from tasks.core.files import write_json, written
from tasks.core.numbers import shown
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.models.embedder import is_embedder
from tasks.models.equivalence import training_rows
from tasks.models.loading import gguf_file, load_tokenizer
from tasks.quantize.logits import Logits
from tasks.quantize.schemes import SCHEMES, Calibration
from tasks.quantize.settings import Settings
from tasks.quantize.share import low_bits_share
from tasks.quantize.vectors import Vectors

WHOLE_BITS = 16
"""Schemes with as many bits a weight change its type; they quantise nothing."""


def quantize(settings: Settings, paths: Paths, scheme: str) -> None:
    """Write the model by `scheme`; raise `CheckFailed` where it is too far from the merged one.

    quantize(Settings(schemes=["nf4"]), Paths(), "nf4")
    """
    torch.set_num_threads(1)
    report = reporter(f"quantize {scheme}", 4, "steps")
    report(0)
    merged = Vectors(settings, paths) if is_embedder(paths.merged) else Logits(settings, paths)
    report(1)
    with written(paths.quantized(scheme)) as out:
        out.mkdir()
        weighs = settings.imatrix and SCHEMES[scheme].weighs
        calibration = Calibration(lambda: training_rows(paths.templated, settings.calibration), weighs)
        SCHEMES[scheme].write(paths.merged, out, calibration)
        report(2)
        before, after = weight_bytes(paths.merged), weight_bytes(out)
        share = low_bits_share(paths.merged, out, merged.vocabulary) if SCHEMES[scheme].bits < WHOLE_BITS else 1.0
        advice = f"remove {scheme} from quantize.schemes, or"
        _check_share(settings, scheme, share, advice)
        facts, words = merged.compare(out, scheme, advice)
        _check_tokens(paths.merged, out, scheme, merged.rows)
        report(3)
        facts = {
            "scheme": scheme,
            "bytes": after,
            "merged_bytes": before,
            "ratio": round(after / before, 4),
            "low_bits": round(share, 4),
            "imatrix": weighs,
            "same_token_ids": True,
            **facts,
        }
        write_json(out / "quantization.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json", exclude={"schemes"}))
    report(4)
    print(
        f"quantize {scheme}: {after:,} bytes, {facts['ratio']:.0%} of merged; {share:.0%} of the layers' weights in "
        f"fewer bits; {words}",
        flush=True,
    )


def _check_share(settings: Settings, scheme: str, share: float, advice: str) -> None:
    """Raise `CheckFailed` unless what was written really is smaller."""
    if share < settings.min_low_bits:
        raise CheckFailed(
            f"{PATHS.quantized(scheme)}: {scheme} stores only {share:.0%} of the layers' weights in fewer bits, less "
            f"than quantize.min_low_bits = {shown(settings.min_low_bits)} requires: its library does not quantise "
            f"every kind of layer, such as experts; {advice} lower the limit."
        )


def _check_tokens(merged: Path, out: Path, scheme: str, rows: list[list[int]]) -> None:
    """Raise `CheckFailed` where the tokenizer in `out` reads other tokens than that of `merged`; of a GGUF file it was
    proved as it was read."""
    if gguf_file(out):
        return
    tokenizer = load_tokenizer(merged)
    texts = tokenizer.batch_decode(rows)
    one, other = (coder(texts, add_special_tokens=False)["input_ids"] for coder in (tokenizer, load_tokenizer(out)))
    if one != other:
        raise CheckFailed(
            f"{PATHS.quantized(scheme)}: its tokenizer and the merged model's give different token ids for the same "
            f"text, so the model would read other tokens than in training; remove {scheme} from quantize.schemes, and "
            "report this tokenizer."
        )


def weight_bytes(folder: Path) -> int:
    """Bytes of the files that hold weights."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in {".safetensors", ".gguf"})
