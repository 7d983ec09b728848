"""A classifier of any number of classes from training to use: merged, quantised, evaluated, read by transformers."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tasks.core.errors import CheckFailed, SettingsError
from tasks.core.paths import Paths
from tasks.evaluate import stage as evaluate
from tasks.evaluate.settings import Metric
from tasks.merge import stage as merge
from tasks.models.equivalence import compare, logits
from tasks.models.loading import load_model
from tasks.quantize import stage as quantize
from tasks.report.usage import QUESTION, usage
from tasks.serve.models import models
from tasks.train import run as train
from tests.tasks import sorted_commands
from tests.tasks.merge.test_headed import LEARNED, predictions

THRESHOLD = 0.4
ASKED = evaluate.Settings(metrics=[Metric(kind="multilabel")])


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = sorted_commands.project(tmp_path_factory.mktemp("multilabel"), lists=True)
    several = {"labels": "several", "threshold": THRESHOLD, "steps": 60}
    train.tune(LEARNED.model_copy(update=several), paths)
    merge.run(merge.Settings(), paths)
    for scheme in ("nf4", "int8"):
        quantize.run(quantize.Settings(schemes=[scheme]), paths, scheme)
    for candidate in ("base", "adapter", "merged", "nf4", "int8"):
        evaluate.run(ASKED, paths, candidate)
    return paths


def test_the_folder_says_what_it_is(merged: Paths) -> None:
    config = json.loads((merged.merged / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["label_threshold"] == THRESHOLD
    assert tuple(config["id2label"].values()) == sorted_commands.CLASSES
    for facts in (merged.fitted / "training.json", merged.merged / "merge.json"):
        assert json.loads(facts.read_text())["threshold"] == THRESHOLD
    assert json.loads((merged.merged / "merge.json").read_text())["max_logit_difference"] < 1e-3
    for scheme in ("nf4", "int8"):
        assert json.loads((merged.quantized(scheme) / "config.json").read_text())["label_threshold"] == THRESHOLD


def test_what_is_answered_are_the_classes_whose_sigmoid_reaches_the_threshold(merged: Paths) -> None:
    """By transformers alone, a row at a time."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(merged.merged).eval()
    tokenizer = AutoTokenizer.from_pretrained(merged.merged)
    answered = set()
    for row in predictions(merged, "merged"):
        ids = tokenizer(row["prompt"], add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            chances = model(input_ids=ids).logits[0].sigmoid().tolist()
        applying = [model.config.id2label[at] for at, chance in enumerate(chances) if chance >= THRESHOLD]
        assert json.loads(row["output"]) == applying
        assert json.loads(row["multilabel_answer"]) == sorted(applying)
        assert row["subset_accuracy"] == float(sorted(json.loads(row["reference"])) == sorted(applying))
        answered.add(len(applying))
    assert len(answered) > 1, "rows have different numbers of classes"


def test_scores_are_those_of_scikit_learn(merged: Paths) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    for candidate in ("base", "merged", "nf4"):
        rows, classes = predictions(merged, candidate), sorted_commands.CLASSES
        truth, answers = (
            [[int(name in json.loads(row[column] or "[]")) for name in classes] for row in rows]
            for column in ("multilabel_class", "multilabel_answer")
        )
        facts = json.loads((merged.evaluation(candidate) / "scores.json").read_text())
        for average in ("macro", "micro"):
            expected = metrics.f1_score(truth, answers, average=average, zero_division=0)
            assert facts["metrics"][f"{average}_f1"]["value"] == pytest.approx(expected, abs=5e-5)
        listed = [row["multilabel_answer"] is not None for row in rows]
        exact = [row == other and is_list for row, other, is_list in zip(truth, answers, listed, strict=True)]
        assert facts["metrics"]["subset_accuracy"]["value"] == sum(exact) / len(rows)
        assert {name for name, one in facts["classes"]["multilabel"]["classes"].items() if one["support"]} <= {*classes}
    assert facts["metrics"]["macro_f1"]["value"] > 0.5


def test_quantised_and_merged_are_compared_class_by_class(merged: Paths) -> None:
    """The divergence is that of the sigmoids, and a position is a class of a row."""
    facts = json.loads((merged.quantized("nf4") / "quantization.json").read_text())
    assert facts["tokens"] == facts["probes"] * len(sorted_commands.CLASSES)
    model, rows = load_model(merged.merged, torch.float32), [[5, 6, 7], [9, 8]]
    own = logits(model, rows)
    moved = [one + torch.tensor([0.0, 0.5]) for one in own]
    first, second = (torch.cat(values)[:, 1].sigmoid() for values in (own, moved))
    both = [first * (first / second).log(), (1 - first) * ((1 - first) / (1 - second)).log()]
    assert compare(own, moved, "here").divergence == pytest.approx(torch.stack(both).sum(0).mean().item(), rel=1e-4)
    assert compare(own, moved, "here").agreement == ((first >= 0.5) == (second >= 0.5)).float().mean().item()


def test_another_head_is_refused(merged: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_commands.merge_another_head(monkeypatch)
    with pytest.raises(CheckFailed, match=r"more than merge\.tolerance"):
        merge.run(merge.Settings(), merged)


def test_the_lines_of_the_model_card_say_what_the_evaluation_says(merged: Paths) -> None:
    facts = {"classes": list(sorted_commands.CLASSES), "threshold": THRESHOLD}
    text = usage(SimpleNamespace(merge=facts))  # type: ignore[arg-type]
    assert f"is at least {THRESHOLD} (`label_threshold` in `config.json`)" in text
    ((language, program),) = re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert language == "python"
    row = next(row for row in predictions(merged, "merged") if len(json.loads(row["output"])) > 1)
    texts = [chat[0]["content"] for chat in sorted_commands.listing_requests()]
    asked = next(text for text in texts if f"user\n{text}<|im_end|>" in row["prompt"])
    printed = sorted_commands.printed(program.replace(QUESTION, asked), merged.root)
    labels = re.findall(r"'([^']+)'", printed.splitlines()[-1])
    assert sorted(labels) == json.loads(row["multilabel_answer"])


def test_what_it_cannot_be_asked_is_refused(merged: Paths) -> None:
    with pytest.raises(SettingsError, match="merged gives each row any number of classes; use the metric multilabel"):
        evaluate.run(evaluate.Settings(metrics=[Metric(kind="classification")]), merged, "merged")
    with pytest.raises(SettingsError, match="generates none; use the metric multilabel alone"):
        evaluate.run(evaluate.Settings(), merged, "merged")
    with pytest.raises(SettingsError, match="merged is a classifier, which generates no text"):
        models(["merged"], evaluate.Settings(), merged)


def test_the_threshold_of_a_foreign_model_is_a_half(merged: Paths, tmp_path: Path) -> None:
    from transformers import AutoConfig

    from tasks.models.head import Head

    config = AutoConfig.from_pretrained(merged.merged)
    del config.label_threshold
    config.save_pretrained(tmp_path)
    assert Head.of(AutoConfig.from_pretrained(tmp_path)).threshold == 0.5
