"""What other sections ask that a classifier or an embedding model cannot give; known from params.yaml alone."""

from collections.abc import Iterator
from typing import Any

from tasks.quantize.schemes import SCHEMES
from tasks.train import beside_embedder

BITS = "bits"
"""The writer of schemes that leave the head as it is: bitsandbytes."""

UNCUT = ("error", "drop", "truncate_prompt")
"""What may become of a row that is too long: the rest leaves an answer that is no class any more."""


def refusals(params: Any) -> Iterator[str]:
    """A sentence for each key that does not go with `train.objective`, with what to set it to.

    `params`: params.yaml as a whole.
    """
    if params.train.embeds:
        yield from beside_embedder.refusals(params)
        return
    if params.template.embed is not None:
        yield "template.embed is for embedding models; set train.objective to embed, or remove template.embed."
    if any(metric.asks == "rank" for metric in params.evaluate.metrics):
        yield "evaluate.metrics: retrieval compares vectors; set train.objective to embed, or use another metric."
    if not params.train.classifies:
        return
    why = "train.objective classify makes a classifier"
    yield from _of_rows(params.template, why)
    if params.align.objective != "off":
        yield f"align.objective {params.align.objective} trains text generation, but {why}; set it to off."
    if params.merge.combine is not None:
        yield f"merge.combine: {why}, and classification heads cannot be combined; set it to null."
    for scheme in params.quantize.schemes:
        if SCHEMES[scheme].writer != BITS:
            kind = (
                ("llama.cpp has no classification head")
                if scheme.startswith("gguf")
                else "it is untested with a classification head"
            )
            yield f"quantize.schemes: {scheme}: {why}, and {kind}; remove it, or use nf4 or int8."
    if params.export.formats:
        yield f"export.formats: {why}, but {params.export.formats[0]} needs a model that generates text; set it to []."
    yield from _of_scores(params, why)


def _of_rows(template: Any, why: str) -> Iterator[str]:
    if template.packing:
        yield f"template.packing: {why}, which cannot use packed rows; set it to false."
    if template.over_length not in UNCUT:
        yield (
            f"template.over_length {template.over_length} cuts answers, but {why} of whole answers; set it to one of "
            f"{', '.join(UNCUT)}."
        )
    if template.train_on == "all":
        yield f"template.train_on all does not say where an answer begins, and {why} of answers; set it to assistant."
    if template.new_tokens:
        yield f"template.new_tokens: {why}, which does not train new embeddings; set it to []."


def _of_scores(params: Any, why: str) -> Iterator[str]:
    evaluate, judge = params.evaluate, params.judge
    heads = {"adapter", "merged", "trained", *params.quantize.schemes}
    several = params.train.several
    wanted = "multilabel" if several else "classification"
    for metric in evaluate.metrics:
        if not metric.classes:
            yield f"evaluate.metrics: {metric.column} scores generated text, but {why}; use the metric {wanted} alone."
        elif metric.several != several:
            yield (
                f"evaluate.metrics: {metric.column}: train.labels is {params.train.labels}, so rows have "
                f"{'any number of classes' if several else 'one class'}; use the metric {wanted}."
            )
        elif metric.choices and params.train.classes and set(metric.choices) != set(params.train.classes):
            odd = sorted(set(metric.choices) ^ set(params.train.classes))[0]
            yield f"evaluate.metrics: the choices differ from train.classes ({odd!r}); make them the same."
    if evaluate.benchmarks and (asked := [name for name in evaluate.benchmarked if name in heads]):
        yield (
            f"evaluate.benchmarked: {asked[0]}: {why}, but benchmarks need a model that generates text; list only base "
            "there, or set evaluate.benchmarks to []."
        )
    if "merged" in evaluate.retrieved:
        yield f"evaluate.retrieved: merged: {why}, which is trained on questions without examples; remove it."
    if judge.candidates and (asked := [name for name in (*judge.candidates, judge.against) if name in heads]):
        yield f"judge.candidates: {asked[0]}: {why}, and a class cannot be judged; set it to []."
