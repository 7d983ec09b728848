"""Settings of other sections that do not go with an embedding model; params.yaml alone shows them, before a run."""

from collections.abc import Iterator
from typing import Any

from tasks.quantize.schemes import SCHEMES

WHY = "train.objective embed trains an embedding model"

WRITERS = ("bits", "ao")
"""Modules of tasks/quantize whose folders sentence-transformers loads."""

OF_TOKENS = ("max_divergence", "min_same_tokens", "min_same_stops")
"""Keys of quantize for models that write tokens."""

POLICIES = ("error", "drop", "truncate_answer")
"""Values of template.over_length that work on single texts; the others shorten dialogues."""


def refusals(params: Any) -> Iterator[str]:
    """A sentence for each key that does not go with `train.objective: embed`, with what to set it to.

    `params`: params.yaml as a whole.
    """
    yield from _of_rows(params.template)
    if params.align.objective != "off":
        yield f"align.objective {params.align.objective} trains text generation, but {WHY}; set it to off."
    if params.merge.combine is not None:
        yield f"merge.combine: {WHY}, and combining several of them is untested; set it to null."
    yield from _of_copies(params.quantize)
    if params.export.formats:
        yield f"export.formats: {WHY}, but {params.export.formats[0]} needs a model that generates text; set it to []."
    yield from _of_scores(params.evaluate, params.judge)


def _of_rows(template: Any) -> Iterator[str]:
    if template.embed is None:
        yield f"template.embed is null, but {WHY}; set it, for example to {{pooling: mean}}."
    unread = (
        ("packing", False), ("new_tokens", ()), ("chat_template", None), ("turns", "together"),
        ("train_on", "assistant"),
    )  # fmt: skip
    for key, unset in unread:
        if getattr(template, key) != unset:
            shown = "null" if unset is None else "[]" if unset == () else str(unset).lower()
            yield f"template.{key}: {WHY}, which reads single texts; set it to {shown}."
    if template.over_length not in POLICIES:
        yield (
            f"template.over_length {template.over_length} shortens dialogues, but {WHY} from single texts; set it to "
            f"one of {', '.join(POLICIES)} (which cuts the end of a text)."
        )


def _of_copies(quantize: Any) -> Iterator[str]:
    known = ", ".join(name for name, scheme in SCHEMES.items() if scheme.writer in WRITERS)
    for name in quantize.schemes:
        if SCHEMES[name].writer not in WRITERS:
            fault = (
                "a GGUF file does not hold what stands before questions and documents"
                if name.startswith("gguf")
                else "sentence-transformers loads such a folder, but fails at its first text"
            )
            yield f"quantize.schemes: {name}: {WHY}, and {fault}; remove it, or use one of {known}."
    default = type(quantize)()
    for key in OF_TOKENS:
        if getattr(quantize, key) != getattr(default, key):
            yield f"quantize.{key}: {WHY}, whose copies are compared by vectors; remove it, and set quantize.limits."


def _of_scores(evaluate: Any, judge: Any) -> Iterator[str]:
    for metric in evaluate.metrics:
        if metric.asks != "rank":
            yield f"evaluate.metrics: {metric.column} scores answers, but {WHY}; use the metric retrieval alone."
    if evaluate.benchmarks:
        yield f"evaluate.benchmarks: {WHY}, but benchmarks need a model that generates text; set it to []."
    for key in ("hosted", "retrieved", "documents", "prompts"):
        if getattr(evaluate, key):
            empty = "[]" if key == "retrieved" else "{}"
            yield f"evaluate.{key}: {WHY}, but this is for models that generate text; set it to {empty}."
    if judge.candidates:
        yield f"judge.candidates: {WHY}, and there is no answer to judge; set it to []."
