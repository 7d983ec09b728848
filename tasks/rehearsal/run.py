"""What would be refused of the base that params.yaml names, all of it before any stage has run.

    for fault in faults(): ...

Reads configuration, tokenizer and the headers of the weights; what neither tells is tried on a small copy. Takes some
seconds, and nothing where there is no base yet.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.base.ready import check, is_model
from tasks.core.errors import ModelError, TemperError
from tasks.models.head import check_family
from tasks.models.skeleton import configured_base
from tasks.rehearsal import embedder
from tasks.rehearsal.kind import check_forward, known_configuration
from tasks.rehearsal.sections import raised, section
from tasks.rehearsal.smaller import check_shares
from tasks.rehearsal.starting import checks
from tasks.rehearsal.weights import full_size
from tasks.stages import names


def faults(needed: set[str] | None = None) -> Iterator[TemperError]:
    """What stages would refuse of the base; nothing where its folder is not a model, or lacks what a model needs.

    `needed`: the stages that are asked; None: all.
    """
    needed = set(names()) if needed is None else needed
    if (configured := configured_base()) is None:
        return
    location, folder = configured
    try:
        if is_model(folder):
            check(folder, location)
    except ModelError:
        return  # said of its files by whoever looks at those
    if section("train").embeds:
        yield from embedder.faults(folder, location, needed)
        return
    try:
        config = known_configuration(folder, location)
        skeleton = full_size(folder, config, location)
        check_forward(skeleton, location)
        if section("train").classifies and "train" in needed:
            check_family(config, location)
    except TemperError as error:
        yield error
        return
    refused: list[TemperError] = []
    if not needed.isdisjoint(("template", "train", "align")):
        try:
            tokenizer = _vocabulary(folder)
        except TemperError as error:
            yield error
        else:
            refused = [error for refuse in checks(skeleton, tokenizer, needed) for error in raised(refuse)]
            yield from refused
    if "quantize" in needed:
        quantize = section("quantize")
        yield from raised(lambda: check_shares(skeleton, quantize.schemes, quantize.min_low_bits))
    if not needed.isdisjoint(("train", "align", "merge", "quantize")):
        yield from _tried(folder, config, skeleton, location, grows=not refused)


def _vocabulary(folder: Path) -> Any:
    """The tokenizer as the stage template makes it; `InputError` and `ModelError` for what it would refuse."""
    from tasks.template.tokenizer import load as load_tokenizer
    from tasks.template.tokenizer import max_length

    settings = section("template")
    tokenizer, _ = load_tokenizer(folder, settings)
    max_length(tokenizer, folder, settings.max_length)
    return tokenizer


def _tried(folder: Path, config: Any, skeleton: Any, location: str, *, grows: bool) -> Iterator[TemperError]:
    """What a small copy of the base cannot do; `grows`: whether new tokens are tried on it."""
    import torch
    from transformers import AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    from tasks.rehearsal import trial
    from tasks.rehearsal.miniature import miniature
    from tasks.training.coverage import check_low_bits

    torch.set_num_threads(1)
    disable_progress_bar()

    train, align, template = (section(name) for name in ("train", "align", "template"))
    options = train.attention_options if train.attention in ("sdpa", "eager") else {}
    if (model := miniature(config, **options)) is None:
        return
    before = list(raised(lambda: trial.check_causal(model, location)))
    if before:
        yield from before
        return
    if train.enabled:
        yield from raised(lambda: trial.check_rows_apart(model, train, template.packing))
    what, tuning = ("train", train) if train.enabled else ("align", align)
    yield from raised(lambda: check_low_bits(what, tuning, skeleton))
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    new = grows and bool(template.new_tokens)
    quantize = section("quantize")
    held = tuning.quantized if tuning.method != "full" else None
    yield from raised(lambda: trial.check_bits(lambda: miniature(config), quantize.schemes, held, tokenizer, location))
    yield from raised(lambda: trial.rehearse(what, lambda: miniature(config), tuning, new, tokenizer, location))
