"""A classifier from training to use: merged, quantised, evaluated, and read by transformers alone."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tasks.core.errors import CheckFailed, SettingsError
from tasks.core.files import sha256
from tasks.core.paths import Paths
from tasks.evaluate import stage as evaluate
from tasks.evaluate.settings import Metric
from tasks.merge import stage as merge
from tasks.quantize import stage as quantize
from tasks.report.usage import QUESTION, usage
from tasks.serve.models import models
from tasks.train import run as train
from tasks.train.settings import Settings
from tasks.training.tuning_settings import LoRA
from tests.tasks import sorted_commands

LEARNED = Settings(
    objective="classify", steps=30, batch_size=4, learning_rate=1e-2, warmup_steps=1, threads=1, logging_steps=10,
    checkpoint_steps=100, eval_steps=100, lora=LoRA(r=2, alpha=4),
)  # fmt: skip

ASKED = evaluate.Settings(metrics=[Metric(kind="classification")])


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = sorted_commands.project(tmp_path_factory.mktemp("headed"))
    train.tune(LEARNED, paths)
    merge.run(merge.Settings(), paths)
    return paths


def predictions(paths: Paths, candidate: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(paths.evaluation(candidate) / "predictions.parquet").to_pylist()
    return rows


def test_transformers_loads_what_was_trained(merged: Paths) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification

    own = AutoModelForSequenceClassification.from_pretrained(merged.merged)
    assert tuple(own.config.id2label.values()) == sorted_commands.CLASSES
    config = AutoConfig.from_pretrained(merged.base / "model", num_labels=4, pad_token_id=0)
    base = AutoModelForSequenceClassification.from_pretrained(merged.base / "model", config=config)
    live = PeftModel.from_pretrained(base, merged.fitted).eval()
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        assert torch.allclose(own(input_ids=ids).logits, live(input_ids=ids).logits, atol=1e-4)
    facts = json.loads((merged.merged / "merge.json").read_text())
    assert facts["max_logit_difference"] < 1e-3
    assert tuple(facts["classes"]) == sorted_commands.CLASSES


def test_merging_twice_gives_the_same_bytes_and_names_no_machine(merged: Paths) -> None:
    first = {file.name: sha256(file) for file in merged.merged.iterdir()}
    merge.run(merge.Settings(), merged)
    assert {file.name: sha256(file) for file in merged.merged.iterdir()} == first
    assert not any(str(merged.root).encode() in file.read_bytes() for file in merged.merged.iterdir())
    assert "generation_config.json" not in first


def test_another_head_is_refused(merged: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_commands.merge_another_head(monkeypatch)
    with pytest.raises(CheckFailed, match=r"more than merge\.tolerance"):
        merge.run(merge.Settings(), merged)


def test_every_candidate_goes_through_the_same_table(merged: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    quantize.run(quantize.Settings(schemes=["nf4"]), merged, "nf4")
    for candidate in ("base", "adapter", "merged", "nf4"):
        evaluate.run(ASKED, merged, candidate)
        scores = json.loads((merged.evaluation(candidate) / "scores.json").read_text())
        assert scores["metrics"]["accuracy"]["n"] == 8
        assert set(scores["classes"]["classification"]["classes"]) == set(sorted_commands.CLASSES)
    assert [row["output"] for row in predictions(merged, "merged")] == [
        row["output"] for row in predictions(merged, "adapter")
    ]
    assert {row["prompt"] for row in predictions(merged, "merged")} == {
        row["prompt"] for row in predictions(merged, "base")
    }
    assert json.loads((merged.quantized("nf4") / "quantization.json").read_text())["tokens"] == 4
    from safetensors import safe_open

    with safe_open(next(merged.quantized("nf4").glob("*.safetensors")), "pt") as tensors:
        assert tensors.get_tensor("score.weight").shape == (4, 64)  # as it was


def test_the_likelihood_of_the_base_is_compared_with_the_head(merged: Paths) -> None:
    settings = evaluate.Settings(metrics=[Metric(kind="classification", by="likelihood")])
    for candidate in ("base", "merged"):
        evaluate.run(settings, merged, candidate)
    assert {row["output"] for row in predictions(merged, "base")} <= set(sorted_commands.CLASSES)
    right = [row["output"] == row["reference"] for row in predictions(merged, "merged")]
    facts = json.loads((merged.evaluation("merged") / "scores.json").read_text())
    assert facts["metrics"]["accuracy"]["value"] == pytest.approx(sum(right) / 8)


def test_the_lines_of_the_model_card_say_what_the_evaluation_says(merged: Paths) -> None:
    evaluate.run(ASKED, merged, "merged")
    text = usage(SimpleNamespace(merge={"classes": list(sorted_commands.CLASSES)}))  # type: ignore[arg-type]
    ((language, program),) = re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert language == "python"
    row = next(row for row in predictions(merged, "merged") if row["output"] != sorted_commands.CLASSES[0])
    asked = next(chat[0]["content"] for chat in sorted_commands.requests() if chat[0]["content"] in row["prompt"])
    printed = sorted_commands.printed(program.replace(QUESTION, asked), merged.root)
    assert printed.splitlines()[-1] == row["output"]


def test_a_batch_of_the_pipeline_is_as_each_alone(merged: Paths) -> None:
    from transformers import AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(merged.merged)
    assert tokenizer.padding_side == "right"
    model = pipeline("text-classification", model=str(merged.merged), tokenizer=tokenizer)
    texts = ["<|im_start|>user\nstart db<|im_end|>\n<|im_start|>assistant\n", "remove", "stop the front of the queue"]
    together = model(texts, batch_size=3, add_special_tokens=False)
    alone = [model(text, add_special_tokens=False)[0] for text in texts]
    assert [one["label"] for one in together] == [one["label"] for one in alone]
    assert [one["score"] for one in together] == pytest.approx([one["score"] for one in alone], abs=1e-5)


def test_it_is_neither_served_nor_asked_to_write(merged: Paths) -> None:
    for name in ("merged", "adapter"):
        with pytest.raises(SettingsError, match=f"{name} is a classifier, which generates no text"):
            models([name], evaluate.Settings(), merged)
    assert models(["base"], evaluate.Settings(), merged)
    with pytest.raises(SettingsError, match="exact_match scores generated text, but merged is a classifier"):
        evaluate.run(evaluate.Settings(), merged, "merged")


def test_rows_of_a_class_that_it_did_not_learn_count_as_wrong(
    merged: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(merged.root / "data", tmp_path / "data")
    paths = Paths(tmp_path)
    from tests.tasks import tiny

    chats = [[chat[0], {"role": "assistant", "content": "docker wait"}] for chat in sorted_commands.requests()[:2]]
    pq.write_table(tiny.rows("test", [*sorted_commands.requests()[2:6], *chats]), paths.rows("test"))
    evaluate.run(ASKED, paths, "merged")
    assert "2 rows have a class that the head was not trained on, such as 'docker wait'" in capsys.readouterr().out
    assert [row["accuracy"] for row in predictions(paths, "merged")][-2:] == [0, 0]


def test_a_model_tuned_whole_passes_through(tmp_path: Path) -> None:
    paths = sorted_commands.project(tmp_path, dtype="bfloat16")
    train.tune(LEARNED.model_copy(update={"method": "full", "steps": 3}), paths)
    merge.run(merge.Settings(), paths)
    facts = json.loads((paths.merged / "merge.json").read_text())
    assert facts["dtype"] == "bfloat16"
    assert facts["method"] == "full"
    assert json.loads((paths.merged / "config.json").read_text())["dtype"] == "bfloat16"
