"""What other sections ask that a classifier or an embedding model cannot give is said with its key; the recipes ask
nothing of the kind."""

import re
from pathlib import Path
from typing import Any

import pytest

from flows.params.model import change, model
from tasks.core.settings import load
from tasks.train.beside import refusals
from tests.flows.project import ROOT


def refused(folder: Path, *changes: str, recipe: str = "classifier") -> list[str]:
    """What is said of the recipe with `changes`."""
    params = folder / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    change([*changes], ROOT / f"recipes/{recipe}.yaml", path=params)
    settings: Any = load(model(), params)
    return list(refusals(settings))


def test_the_recipe_is_fine(tmp_path: Path) -> None:
    assert refused(tmp_path) == []
    assert refused(tmp_path, recipe="multilabel") == []
    assert refused(tmp_path, recipe="embeddings") == []
    copies = ("quantize.schemes=[nf4, int8, torchao-int8]", "quantize.limits={nf4: 0.3}")
    assert refused(tmp_path, *copies, recipe="embeddings") == []
    assert refused(tmp_path, "train.objective=rows", "quantize.schemes=[gguf-q8_0]", "template.packing=true") == []


def test_a_key_that_does_not_go_with_lists_of_classes(tmp_path: Path) -> None:
    (sentence,) = refused(tmp_path, "evaluate.metrics=[{kind: f1}]", recipe="multilabel")
    assert "use the metric multilabel alone" in sentence
    assert any(
        "GGUF" in one or "gguf" in one for one in refused(tmp_path, "quantize.schemes=[gguf-q8_0]", recipe="multilabel")
    )
    (sentence,) = refused(
        tmp_path,
        "train.classes=[late, broken]",
        "evaluate.metrics=[{kind: multilabel, choices: [late, lost]}]",
        recipe="multilabel",
    )
    assert "the choices differ from train.classes" in sentence


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("template.packing=true", "template.packing: "),
        ("template.over_length=truncate_answer", "template.over_length truncate_answer cuts answers"),
        ("template.over_length=split", "template.over_length split cuts answers"),
        ("template.train_on=all", "template.train_on all"),
        ("template.new_tokens=['<|a|>']", "template.new_tokens"),
        ("align.objective=dpo", "align.objective dpo trains text generation, but"),
        ("merge.combine={weights: {trained: 1, other: 1}}", "merge.combine"),
        ("quantize.schemes=[nf4, gguf-q8_0]", "quantize.schemes: gguf-q8_0: .* llama.cpp has no classification head"),
        (
            "quantize.schemes=[torchao-int8]",
            "quantize.schemes: torchao-int8: .* is untested with a classification head",
        ),
        ("export.formats=[ollama]", "export.formats"),
        ("evaluate.metrics=[{kind: exact_match}]", "exact_match scores generated text, but"),
        ("evaluate.metrics=[{kind: multilabel}]", "so rows have one class; use the metric classification"),
        ("train.labels=several", "so rows have any number of classes; use the metric multilabel"),
        ("evaluate.metrics=[{kind: classification}, {kind: perplexity}]", "perplexity scores"),
        ("evaluate.benchmarks=[{task: arc_easy}]", "evaluate.benchmarked: merged"),
        ("evaluate.retrieved=[base, merged]", "evaluate.retrieved: merged"),
        (
            "judge={candidates: [merged], teacher: {kind: openai, base_url: 'http://127.0.0.1:1/v1', model: m}}",
            "judge.candidates: merged",
        ),
    ],
)
def test_a_key_that_does_not_go_with_a_head(assignment: str, says: str, tmp_path: Path) -> None:
    (sentence,) = refused(tmp_path, assignment)
    assert re.search(says, sentence), sentence
    assert sentence.endswith(".")


def test_choices_that_are_not_the_classes(tmp_path: Path) -> None:
    metric = "evaluate.metrics=[{kind: classification, choices: [up, down]}]"
    assert refused(tmp_path, metric, "train.classes=[down, up]") == []
    (sentence,) = refused(tmp_path, metric, "train.classes=[up, left]")
    assert "the choices differ from train.classes ('down')" in sentence


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("template.embed=null", "template.embed is null"),
        ("template.packing=true", "template.packing: .* set it to false"),
        ("template.chat_template=plain", "template.chat_template: .* set it to null"),
        ("template.turns=apart", "template.turns: .* set it to together"),
        ("template.train_on=last", "template.train_on: .* set it to assistant"),
        ("template.new_tokens=['<|a|>']", r"template.new_tokens: .* set it to \[\]"),
        ("template.over_length=split", "template.over_length split shortens dialogues"),
        ("template.over_length=truncate_prompt", "template.over_length truncate_prompt shortens dialogues"),
        ("align.objective=dpo", "align.objective dpo trains text generation"),
        ("merge.combine={weights: {trained: 1, other: 1}}", "merge.combine"),
        (
            "quantize.schemes=[nf4, gguf-q8_0]",
            "quantize.schemes: gguf-q8_0: .* a GGUF file does not hold what stands .* nf4, ",
        ),
        (
            "quantize.schemes=[gptq-w8a8]",
            "quantize.schemes: gptq-w8a8: .* fails at its first text; remove it, or use one of nf4, ",
        ),
        ("quantize.max_divergence=0.5", "quantize.max_divergence: .* compared by vectors; .* quantize.limits"),
        ("quantize.min_same_stops=0.5", "quantize.min_same_stops: "),
        ("export.formats=[ollama]", "export.formats: .* ollama needs a model that generates text"),
        ("evaluate.metrics=[{kind: retrieval}, {kind: f1}]", "f1 scores answers"),
        ("evaluate.benchmarks=[{task: arc_easy}]", "evaluate.benchmarks: "),
        ("evaluate.retrieved=[base]", r"evaluate.retrieved: .* set it to \[\]"),
        ("evaluate.documents={pages: data/pages}", r"evaluate.documents: .* set it to \{\}"),
        ("evaluate.prompts={best: [Search.]}", "evaluate.prompts: "),
        ("evaluate.hosted={other: {hub: 'a/b@0123456789012345678901234567890123456789'}}", "evaluate.hosted: "),
        (
            "judge={candidates: [merged], teacher: {kind: openai, base_url: 'http://127.0.0.1:1/v1', model: m}}",
            "judge.candidates: ",
        ),
    ],
)
def test_a_key_that_does_not_go_with_embeddings(assignment: str, says: str, tmp_path: Path) -> None:
    (sentence,) = refused(tmp_path, assignment, recipe="embeddings")
    assert re.search(says, sentence), sentence
    assert sentence.endswith(".")


def test_keys_of_embeddings_do_not_go_with_answers(tmp_path: Path) -> None:
    sentences = refused(tmp_path, "template.embed={}", "evaluate.metrics=[{kind: retrieval}]", "train.objective=rows")
    assert [sentence.split()[0] for sentence in sentences] == ["template.embed", "evaluate.metrics:"]
