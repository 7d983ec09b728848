"""Classes: which one an answer is, how well each is told from the others, and the likeliest without generating."""

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate import classes
from tasks.evaluate.classes import Classes
from tasks.evaluate.settings import Metric, Settings
from tests.tasks import tiny

LABELS = ["lost card", "lost", "card arrival", "top up", "top-up fee", "+", "-", *(f"intent {at}" for at in range(9))]
METRIC = Metric(kind="classification")


def rows(labels: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"row{at}",
            "messages": [{"role": "user", "content": f"text {at}"}, {"role": "assistant", "content": name}],
        }
        for at, name in enumerate(labels)
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lost card", "lost card"),
        ("  Lost\n card. ", "lost card"),
        ('"LOST CARD"', "lost card"),
        ("lost", "lost"),
        ("lost cards", None),
        ("I think it is lost card", None),
        ("", None),
        ("...", None),
        ("+", "+"),
        ("-", "-"),
        ("top-up fee", "top-up fee"),
    ],
)
def test_an_answer_is_a_class_but_for_its_form(text: str, name: str | None) -> None:
    assert Classes(LABELS).named(text) == name


def test_classes_that_differ_in_form_alone_are_told_apart_exactly() -> None:
    known = Classes(["C", "c", "C++"])
    assert [known.named(text) for text in ("C", "c", "C++", "c++", "c.")] == ["C", "c", "C++", None, None]


def test_classes_are_the_references_or_those_that_are_listed() -> None:
    assert Classes.of(METRIC, rows(["b", "a", "b "])).names == ["a", "b"]
    listed = Metric(kind="classification", choices=["b", "a", "c"])
    assert Classes.of(listed, rows(["a", "b"])).names == ["b", "a", "c"]
    with pytest.raises(InputError, match="the reference 'd' of the row row1 is not one of the metric's choices"):
        Classes.of(listed, rows(["a", "d"]))
    with pytest.raises(
        InputError, match="30 different references in 30 rows are too many to be classes; list the classes"
    ):
        Classes.of(METRIC, rows([f"answer {at}" for at in range(30)]))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Rows with a class each, of sixteen."""
    import pyarrow.parquet as pq

    paths = tiny.project(tmp_path_factory.mktemp("classes"))
    chats = [
        [{"role": "user", "content": f"row {at}"}, {"role": "assistant", "content": LABELS[at % len(LABELS)]}]
        for at in range(32)
    ]
    pq.write_table(tiny.rows("test", chats), paths.clean / "test.parquet")
    return paths


def likelihoods(folder: Path, prompt: str) -> list[float]:
    """Of each label with the token that ends it, one whole sequence at a time."""
    import torch

    from tasks.models.loading import load_model

    model, tokenizer, values = load_model(folder), tiny.tokenizer(), []
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    for label in LABELS:
        ids = tokenizer(f"{prompt}{label}<|im_end|>", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logs = model(torch.tensor([ids])).logits[0].log_softmax(1)
        values.append(sum(float(logs[at - 1, ids[at]]) for at in range(len(before), len(ids))))
    return values


@pytest.mark.parametrize("normalised", [False, True])
def test_the_likeliest_class_is_that_of_whole_sequences(
    project: Paths, normalised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen texts share their prompt's computation, in parts of five; and nothing is generated."""
    import pyarrow.parquet as pq

    from tasks.evaluate.engine import Engine
    from tasks.evaluate.padded import PaddedRows
    from tasks.evaluate.stage import run

    monkeypatch.setattr(Engine, "answers", None)
    monkeypatch.setattr(PaddedRows, "likelihoods", None)
    metric = Metric(kind="classification", choices=LABELS, by="likelihood", length_normalised=normalised)
    run(Settings(metrics=[metric], batch_size=5), project, "base")
    predictions = pq.read_table(project.evaluation("base") / "predictions.parquet").to_pylist()
    for row in predictions[:8]:
        values = likelihoods(project.base / "model", row["prompt"])
        values = [value / len(label) for value, label in zip(values, LABELS, strict=True)] if normalised else values
        assert row["output"] == row["classification_answer"] == LABELS[int(np.argmax(values))]
        assert row["accuracy"] == row["macro_f1"] == float(row["output"] == row["classification_class"])


def test_scores_of_classes(project: Paths) -> None:
    from tasks.evaluate.stage import run

    generated = Metric(kind="classification", name="said")
    likely = Metric(kind="classification", choices=LABELS, by="likelihood")
    run(Settings(metrics=[generated, likely], max_new_tokens=6), project, "base")
    scores = tiny.read(project.evaluation("base") / "scores.json")
    assert set(scores["metrics"]) == {"said_macro_f1", "said_accuracy", "macro_f1", "accuracy"}
    measured = scores["classes"]["said"]
    assert measured["no_class"] == measured["n"] == 32, "a random model names no class"
    assert scores["classes"]["classification"]["no_class"] == 0
    assert sum(one["support"] for one in measured["classes"].values()) == 32
    low, value, high = (scores["metrics"]["macro_f1"][key] for key in ("low", "value", "high"))
    assert 0 <= low <= value <= high <= 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "exact_match", "by": "likelihood"}, "the key by belongs to the metric classification"),
        ({"kind": "classification", "length_normalised": True}, "classification with by: likelihood"),
        ({"kind": "classification", "of": "reasoning"}, "remove `of`"),
    ],
)
def test_settings_that_have_no_effect_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Metric.model_validate(settings)


def test_names_of_scores_are_taken_once() -> None:
    for other in ({"kind": "f1", "name": "accuracy"}, {"kind": "f1", "name": "classification_answer"}):
        with pytest.raises(ValueError, match="two metrics are named"):
            Settings.model_validate({"metrics": [{"kind": "classification"}, other]})


def test_the_examples_run() -> None:
    assert doctest.testmod(classes).failed == 0
