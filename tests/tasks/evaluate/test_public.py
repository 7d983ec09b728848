"""A public model on public benchmarks: the scores are those of plain lm-eval, and near what is known."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.progress import reporter
from tasks.evaluate.settings import Benchmark

DATA = Path(__file__).parents[4] / "shared/data"
BLIMP = DATA / "evaluation/blimp"
ARC = DATA / "evaluation"

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="the public data are not here (../shared/data)"),
    pytest.mark.long,
]

PAIRS = """task: pairs_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: "{file}"}}}}
output_type: multiple_choice
validation_split: train
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{{{[sentence_good, sentence_bad]}}}}"
num_fewshot: 0
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""
SCIENCE = """task: science
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/mc_arc_easy_train.jsonl, test: {folder}/mc_arc_easy_test.jsonl}}}}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: gold
doc_to_choice: choices
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring")
    for file in sorted(BLIMP.glob("*.gz")):
        name = file.name.split(".")[0]
        (folder / f"{name}.yaml").write_text(PAIRS.format(name=name, file=file.resolve()))
    (folder / "science.yaml").write_text(SCIENCE.format(folder=ARC.resolve()))
    return folder


@pytest.fixture(scope="module")
def model() -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    from tasks.models.loading import load_model

    folder = DATA / "models/stories260K-hf"
    return load_model(folder), AutoTokenizer.from_pretrained(folder)


def run_tasks(model: tuple[Any, Any], scoring: Path, record: Path, *benchmarks: dict[str, Any]) -> Any:
    from tasks.evaluate.answer_store import AnswerStore
    from tasks.evaluate.benchmarks import run_benchmarks
    from tasks.evaluate.engine import Engine

    engine = Engine(*model, context=512, batch_size=32, batch_tokens=65536, store=AnswerStore(record, "a" * 32))
    return run_benchmarks(
        [Benchmark(chat_template=False, **benchmark) for benchmark in benchmarks], engine, scoring, reporter
    )


@pytest.mark.parametrize("task", ["pairs_anaphor_number_agreement", "pairs_causative", "science"])
def test_scores_are_those_of_plain_lm_eval(model: tuple[Any, Any], scoring: Path, tmp_path: Path, task: str) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    ours = run_tasks(model, scoring, tmp_path, {"task": task, "limit": 100})
    theirs = simple_evaluate(
        model=HFLM(pretrained=model[0], tokenizer=model[1], backend="causal", max_length=512),
        tasks=[task],
        task_manager=TaskManager(include_path=str(scoring), include_defaults=False),
        bootstrap_iters=0,
        samples={task: [row["number"] for row in ours.samples]},
    )
    assert len(ours.samples) == 100
    for metric, score in ours.scores[task]["metrics"].items():
        assert score["value"] == round(theirs["results"][task][f"{metric},none"], 4)
        rows = sorted(theirs["samples"][task], key=lambda row: int(row["doc_id"]))
        assert [json.loads(row["scores"])[metric] for row in ours.samples] == [row[metric] for row in rows]


def test_minimal_pairs_are_told_apart_as_often_as_is_known(
    model: tuple[Any, Any], scoring: Path, tmp_path: Path
) -> None:
    tasks = [f"pairs_{file.name.split('.')[0]}" for file in sorted(BLIMP.glob("*.gz"))]
    scores = run_tasks(model, scoring, tmp_path, *({"task": task} for task in tasks)).scores
    assert {score["metrics"]["acc"]["n"] for score in scores.values()} == {1000}
    mean = sum(score["metrics"]["acc"]["value"] for score in scores.values()) / len(scores)
    assert mean == pytest.approx(0.568, abs=0.005), "as plain lm-eval has it"
