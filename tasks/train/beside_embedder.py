"""What other sections ask that an embedding model cannot give; known from params.yaml alone, before anything runs."""

from collections.abc import Iterator
from typing import Any

WHY = "train.objective embed makes an embedding model"

POLICIES = ("error", "drop", "truncate_answer")
"""What may become of a row with a text that is too long: the others shorten dialogues."""


def refusals(params: Any) -> Iterator[str]:
    """A sentence for each key that does not go with `train.objective: embed`, with what to set it to.

    `params`: params.yaml as a whole.
    """
    yield from _of_rows(params.template)
    if params.align.objective != "off":
        yield f"align.objective {params.align.objective} learns to write answers, and {WHY}; set it to off."
    if params.merge.combine is not None:
        yield f"merge.combine: {WHY}, which was not tried with several adapters; set it to null."
    if params.quantize.schemes:
        yield (
            f"quantize.schemes: {params.quantize.schemes[0]}: {WHY}, whose vectors no scheme here is compared by; set "
            "it to []."
        )
    if params.export.formats:
        yield f"export.formats: {WHY}, and {params.export.formats[0]} wants a model that writes; set it to []."
    yield from _of_scores(params.evaluate, params.judge)


def _of_rows(template: Any) -> Iterator[str]:
    if template.embed is None:
        yield f"template.embed is null, and {WHY}; set it, such as to {{pooling: mean}}."
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
            f"template.over_length {template.over_length} shortens dialogues, and {WHY}; set it to one of "
            f"{', '.join(POLICIES)} (which cuts the end of a text)."
        )


def _of_scores(evaluate: Any, judge: Any) -> Iterator[str]:
    for metric in evaluate.metrics:
        if metric.asks != "rank":
            yield f"evaluate.metrics: {metric.column} looks at answers, and {WHY}; ask kind retrieval alone."
    if evaluate.benchmarks:
        yield f"evaluate.benchmarks: {WHY}, and benchmarks ask a model that writes; set it to []."
    for key in ("hosted", "retrieved", "documents", "prompts"):
        if getattr(evaluate, key):
            empty = "[]" if key == "retrieved" else "{}"
            yield f"evaluate.{key}: {WHY}, and all of these write answers; set it to {empty}."
    if judge.candidates:
        yield f"judge.candidates: {WHY}, and there is no answer to judge; set it to []."
