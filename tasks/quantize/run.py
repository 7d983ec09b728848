"""One scheme from data/merged to data/quantized/SCHEME, and the proof that what was written still is the model."""

from pathlib import Path

import torch

from tasks.chat.stops import config_stop_ids
from tasks.core.errors import CheckFailed
from tasks.core.files import write_json, written
from tasks.core.numbers import shown
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.models.classes import is_classifier
from tasks.models.equivalence import Difference, compare, logits, probes, training_rows
from tasks.models.gguf.proof import check_reading, read_back
from tasks.models.gguf.stops import named_stops
from tasks.models.loading import gguf_file, load_model, load_tokenizer
from tasks.quantize.schemes import SCHEMES, Calibration
from tasks.quantize.settings import Settings
from tasks.quantize.share import low_bits_share

WHOLE_BITS = 16
"""Schemes with as many bits a weight change its type; they quantise nothing."""


def quantize(settings: Settings, paths: Paths, scheme: str) -> None:
    """Write the model by `scheme`; raise `CheckFailed` where it is too far from the merged one.

    quantize(Settings(schemes=["nf4"]), Paths(), "nf4")
    """
    torch.set_num_threads(1)
    report = reporter(f"quantize {scheme}", 4, "steps")
    report(0)
    model = load_model(paths.merged, torch.float32)
    classifies = is_classifier(model.config)
    rows = probes(paths.templated, settings.probes, model.config.get_text_config().vocab_size, prompts=classifies)
    expected, stops = logits(model, rows), set() if classifies else config_stop_ids(paths.merged)
    vocabulary = model.get_input_embeddings().num_embeddings
    del model
    report(1)
    with written(paths.quantized(scheme)) as out:
        out.mkdir()
        weighs = settings.imatrix and SCHEMES[scheme].weighs
        calibration = Calibration(lambda: training_rows(paths.templated, settings.calibration), weighs)
        SCHEMES[scheme].write(paths.merged, out, calibration)
        report(2)
        measured, same_ids = _read_back(paths.merged, out, scheme, rows, stops)
        report(3)
        difference = compare(expected, measured, str(PATHS.quantized(scheme)), stops)
        before, after = weight_bytes(paths.merged), weight_bytes(out)
        share = low_bits_share(paths.merged, out, vocabulary) if SCHEMES[scheme].bits < WHOLE_BITS else 1.0
        _judge(settings, scheme, difference, same_ids, share)
        facts = {
            "scheme": scheme,
            "bytes": after,
            "merged_bytes": before,
            "ratio": round(after / before, 4),
            "low_bits": round(share, 4),
            "imatrix": weighs,
            "same_token_ids": same_ids,
            "max_divergence": _limit(settings, scheme),
            **difference.as_dict(),
        }
        write_json(out / "quantization.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json", exclude={"schemes"}))
    report(4)
    print(
        f"quantize {scheme}: {after:,} bytes, {facts['ratio']:.0%} of merged; {share:.0%} of the layers' weights in "
        f"fewer bits; {shown(difference.divergence, 2)} nats per token from it, same next token in "
        f"{difference.agreement:.1%}",
        flush=True,
    )


def _limit(settings: Settings, scheme: str) -> float:
    return settings.limits.get(scheme, settings.max_divergence)


def _judge(settings: Settings, scheme: str, difference: Difference, same_ids: bool, share: float) -> None:
    """Raise `CheckFailed` unless what was written is near enough to the merged model, and really smaller."""
    where = str(PATHS.quantized(scheme))
    advice = f"remove {scheme} from quantize.schemes, or"
    if share < settings.min_low_bits:
        raise CheckFailed(
            f"{where}: {scheme} stores only {share:.0%} of the layers' weights in fewer bits, less than "
            f"quantize.min_low_bits = {shown(settings.min_low_bits)} asks for: its library leaves other layers of this "
            f"model as they are, such as experts; {advice} lower the limit."
        )
    if difference.divergence > _limit(settings, scheme):
        key = f"limits.{scheme}" if scheme in settings.limits else "max_divergence"
        raise CheckFailed(
            f"{where}: diverges from the merged model by {shown(difference.divergence, 3)} nats per token, more than "
            f"quantize.{key} = {shown(_limit(settings, scheme))} allows (same next token in "
            f"{difference.agreement:.1%}); {advice} raise the limit."
        )
    for share, least, key, what in (
        (difference.agreement, settings.min_same_tokens, "min_same_tokens", "the next token"),
        (difference.stops, settings.min_same_stops, "min_same_stops", "whether to stop"),
    ):
        if share < least:
            raise CheckFailed(
                f"{where}: agrees with the merged model on {what} in {share:.1%} of {difference.tokens} positions, "
                f"less than quantize.{key} = {shown(least)} asks for; {advice} lower the limit."
            )
    if not same_ids:
        raise CheckFailed(
            f"{where}: its tokenizer gives other token ids than the merged model's for the same text, so it would read "
            f"other tokens than in training; remove {scheme} from quantize.schemes, and report this tokenizer."
        )


def weight_bytes(folder: Path) -> int:
    """Bytes of the files that hold weights."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in {".safetensors", ".gguf"})


def _read_back(
    merged: Path, out: Path, scheme: str, rows: list[list[int]], stops: set[int]
) -> tuple[list[torch.Tensor], bool]:
    """Logits of `rows` by what lies in `out`, and whether its tokenizer gives the ids of the merged model's.

    llama.cpp itself computes and reads a GGUF file.
    """
    tokenizer = load_tokenizer(merged)
    texts = tokenizer.batch_decode(rows)
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    if file := gguf_file(out):
        reading = read_back(file, rows, texts, named_stops(tokenizer, stops).known)
        check_reading(reading, ids, str(PATHS.quantized(scheme)))
        return list(map(torch.from_numpy, reading.logits)), True
    reloaded = load_tokenizer(out)(texts, add_special_tokens=False)["input_ids"]
    return logits(load_model(out), rows), bool(ids == reloaded)
