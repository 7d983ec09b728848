"""Every metric by its name, one entry each: what it is, the keys that it needs, and how it scores.

To add one: an entry here. All else reads it: the settings, their JSON schema, the predictions, the scores and the
decision. `compare` makes an entry of a function of output and reference.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.bounds.patterns import usable
from tasks.evaluate.metrics import code, custom, structure, text
from tasks.named.names import inside

if TYPE_CHECKING:
    from tasks.evaluate.settings import Metric

Score = Callable[[str, str, dict[str, Any]], float]
"""From output, reference and row to a score, from 0 (wrong) to 1 (right)."""


@dataclass(frozen=True)
class Kind:
    """One metric."""

    about: str
    """What scores well, in a phrase."""
    make: "Callable[[Metric, Path], Score] | None" = None
    """The function that scores, by the settings and the folder with the files that they name. It raises
    `SettingsError` or `InputError` for a file that cannot be used. None: the model's likelihoods are the score."""
    needs: tuple[str, ...] = ()
    """Keys of the settings that it needs; no other metric may be given them."""
    check: "Callable[[Metric], None] | None" = None
    """Raises `ValueError` where the value of a key cannot be right."""
    look: "Callable[[Metric, Path], object] | None" = None
    """Raises what `make` would raise for files that are not there or not right, and runs nothing of the user's; called
    before a run. None: `make` itself runs nothing."""
    asks: Literal["answer", "choice", "loss", "rank"] = "answer"
    """What the model is asked: for an answer, which of some texts is the likeliest, how likely the reference is, or in
    which order documents answer a question."""
    lower_is_better: bool = False
    scores: tuple[str, ...] = ()
    """Names of its scores where it has several."""
    classes: Literal["", "one", "several"] = ""
    """Whether answers are classes, one each or any number, whose scores are no means over rows."""
    graded: bool = False
    """Whether a row can score something between right and wrong."""


def compare(about: str, function: Callable[[str, str], float], *, whole: bool = False, graded: bool = False) -> Kind:
    """A metric that compares the output with the reference, and asks nothing else.

    `whole`: it asks whether both are the same, so that where the reference calls tools, the calls are compared.
    """

    def score(output: str, reference: str, row: dict[str, Any]) -> float:
        if whole and row.get("calls_right") is not None:
            return float(row["calls_right"])
        return function(output, reference)

    return Kind(about, lambda metric, scoring: score, graded=graded)


def scorer(metric: "Metric", scoring: Path) -> Score:
    """The function that scores answers by `metric`; files that it names are in the folder `scoring`.

        score = scorer(Metric(kind="exact_match"), paths.scoring)
        score("docker ps", "docker ps", {})  # 1.0

    Raises `SettingsError` or `InputError` for a schema or function that cannot be used.
    """
    make = METRICS[metric.kind].make
    assert make, f"{metric.kind} asks for no answer"
    return make(metric, scoring)


def check_files(metric: "Metric", scoring: Path) -> None:
    """Raise what `scorer` would raise for the files that `metric` names; nothing of the user's runs."""
    kind = METRICS[metric.kind]
    if look := kind.look or kind.make:
        look(metric, scoring)


def explained(metric: "Metric") -> str:
    """What scores well by `metric`, in a phrase, with what its keys say."""
    about = METRICS[metric.kind].about
    if metric.kind == "regex":
        about = f"1 if {metric.pattern} is found in the answer"
        if re.compile(str(metric.pattern)).groups:
            about = (
                f"1 if the first group of {metric.pattern} matches the same text in the answer as in the reference (if "
                "the reference has no match, the whole reference)"
            )
    return f"{about}, for the reasoning" if metric.of == "reasoning" else about


def _regex(metric: "Metric", scoring: Path) -> Score:
    find = text.pattern(str(metric.pattern), "evaluate.metrics: pattern")
    return lambda output, reference, row: find(output, reference)


def _compiles(metric: "Metric") -> None:
    try:
        usable(str(metric.pattern))
    except ValueError as error:
        raise ValueError(f"the pattern cannot be used: {error}") from None


def _json_schema(metric: "Metric", scoring: Path) -> Score:
    fits = structure.schema(inside(scoring, str(metric.schema_file), "evaluate.metrics"))
    return lambda output, reference, row: fits(output)


def _calls(output: str, reference: str, row: dict[str, Any]) -> float:
    """The names and the arguments as JSON, in any order; an answer in words is right where the reference is one."""
    right = row.get("calls_right")
    return float(right if right is not None else not row.get("calls"))


METRICS = {
    "exact_match": compare("the answer equals the reference, apart from whitespace", text.exact, whole=True),
    "normalised_match": compare(
        "as exact_match, but also ignoring case, punctuation and English articles", text.normalised, whole=True
    ),
    "regex": Kind("`pattern` is found in the answer", _regex, ("pattern",), _compiles),
    "contains": compare("the answer contains the reference", text.contains),
    "f1": compare("words shared with the reference: harmonic mean of precision and recall", text.f1, graded=True),
    "rouge1": compare("words shared with the reference (ROUGE-1)", partial(text.rouge, "rouge1"), graded=True),
    "rouge2": compare("word pairs shared with the reference (ROUGE-2)", partial(text.rouge, "rouge2"), graded=True),
    "rougeL": compare(
        "longest word sequence shared with the reference (ROUGE-L)", partial(text.rouge, "rougeL"), graded=True
    ),
    "bleu": compare("BLEU of each answer", text.bleu, graded=True),
    "chrf": compare("chrF of each answer: character n-grams", text.chrf, graded=True),
    "json_valid": compare("the answer is valid JSON", structure.valid),
    "json_equal": compare("the answer is the same JSON value as the reference", structure.equal, whole=True),
    "tool_calls": Kind(
        "the answer makes the same tool calls as the reference, or none if that has none", lambda *_: _calls
    ),
    "json_schema": Kind("the answer satisfies the JSON Schema in `schema_file`", _json_schema, ("schema_file",)),
    "multiple_choice": Kind("the reference is the most likely of the choices", asks="choice"),
    "classification": Kind(
        "the answer is the class of the reference: macro F1, accuracy, and scores per class",
        scores=("macro_f1", "accuracy"),
        classes="one",
    ),
    "multilabel": Kind(
        "the answer is a JSON list of the classes of the reference, in any order: macro F1, micro F1, the share of "
        "rows with every class right, and scores per class",
        scores=("macro_f1", "micro_f1", "subset_accuracy"),
        classes="several",
    ),
    "retrieval": Kind(
        "how high the right documents rank among all documents of the test split: nDCG@10, MRR@10, and recall at "
        "1, 5 and 10",
        asks="rank",
        graded=True,
        scores=("ndcg_at_10", "mrr_at_10", "recall_at_1", "recall_at_5", "recall_at_10"),
    ),
    "perplexity": Kind(
        "perplexity of the reference, exp(loss in nats per token): 1 is best, lower is better; two models are "
        "compared by their ratio",
        asks="loss",
        graded=True,
        lower_is_better=True,
    ),
    "code": Kind(
        "the answer is Python code that passes its tests",
        lambda metric, scoring: partial(code.passes, timeout=metric.timeout, memory=metric.memory),
    ),
    "function": Kind(
        "the number that your `function` returns",
        lambda metric, scoring: custom.function(str(metric.function), scoring),
        ("function",),
        look=lambda metric, scoring: custom.check(str(metric.function), scoring),
        graded=True,
    ),
}
"""Metrics in the order in which they are listed."""
