"""Examples of a benchmark: from any split, and never the question itself; what cannot be asked is said beforehand."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, SettingsError
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.evaluate import stage
from tasks.evaluate.settings import Benchmark, Settings
from tests.tasks.evaluate.test_benchmarks import engine, model, run_task

__all__ = ["model"]

ROWS = [{"q": f"Q{number} hello web", "a": f"A{number}", "choices": [f"A{number}", "none"]} for number in range(5)]

SPLITS = {
    "test alone": "test_split: test",
    "validation alone": "validation_split: test",
    "training and test": "training_split: train\ntest_split: test",
    "training and validation": "training_split: train\nvalidation_split: test",
    "examples from the test": "test_split: test\nfewshot_split: test",
    "examples from the validation that is asked": "validation_split: test\nfewshot_split: test",
    "the first of the test": "test_split: test\nfewshot_split: test\nfewshot_config: {sampler: first_n}",
    "the first of the validation": "validation_split: test\nfewshot_config: {sampler: first_n, split: test}",
    "one name for training and test": "training_split: test\ntest_split: test",
    "samples": "test_split: test\nfewshot_config: {samples: [{q: Q1 hello web, a: A1, choices: [A1, none]}, "
    "{q: other, a: B, choices: [B, none]}, {q: third, a: C, choices: [C, none]}]}",
}

KINDS = {
    "generate_until": "doc_to_target: a\nmetric_list: [{metric: exact_match, aggregation: mean}]\n"
    "generation_kwargs: {until: ['zz'], max_gen_toks: 4}",
    "multiple_choice": "doc_to_target: 0\ndoc_to_choice: choices\nmetric_list: [{metric: acc, aggregation: mean}]",
}


def task(folder: Path, splits: str, kind: str = "generate_until", more: str = "", name: str = "asked") -> Path:
    """A task on the rows; those that train are others, but for one that stands in both."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = [{"q": f"T{number}", "a": f"B{number}", "choices": [f"B{number}", "none"]} for number in range(3)]
    for split, rows in (("train", [*trained, ROWS[2]]), ("test", ROWS)):
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / f"{name}.yaml").write_text(
        f"task: {name}\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}}}\n"
        f'output_type: {kind}\ndoc_to_text: "{{{{q}}}}"\n{splits}\n{KINDS.get(kind, "")}\n{more}\n'
    )
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chat", [False, True], ids=["raw", "chat"])
def test_no_prompt_holds_its_own_question(model: tuple[Any, Any], tmp_path: Path, kind: str, chat: bool) -> None:
    for number, (name, splits) in enumerate(SPLITS.items()):
        scoring = task(tmp_path / str(number), splits, kind)
        benchmark = {"task": "asked", "shots": 2, "chat_template": chat}
        results = run_task(benchmark, engine(model, tmp_path / f"record{number}"), scoring)
        assert len(results.samples) == len(ROWS)
        for row, sample in zip(ROWS, results.samples, strict=True):
            assert sample["prompt"].count(str(row["q"])) == 1, name
            assert sample["prompt"].count("hello web") + sample["prompt"].count("T") >= 1
        assert results.scores["asked"]["shots"] == 2


def test_too_few_examples_are_said_beforehand(tmp_path: Path) -> None:
    scoring = task(tmp_path / "data" / "scoring", SPLITS["test alone"])
    paths = Paths(tmp_path)
    assert paths.scoring == scoring
    stage.validate(Settings(benchmarks=[Benchmark(task="asked", shots=4)]), paths)
    with pytest.raises(
        InputError, match="asked has 4 examples per question, not counting itself, which is fewer than its 5 shots"
    ):
        stage.validate(Settings(benchmarks=[Benchmark(task="asked", shots=5)]), paths)


@pytest.mark.parametrize(
    ("splits", "more", "shots", "message"),
    [
        ("test_split: test", "fewshot_config: {sampler: balanced}", 1, "uses the sampler 'balanced'"),
        ("test_split: test", "generation_kwargs: {do_sample: true}", 0, "draws its answers at random"),
        ("test_split: test", "output_type: loglikelihood_rolling", 1, "scores whole texts"),
        ("test_split: test", "dataset_kwargs: {data_files: {test: gone.jsonl}}", 0, "gone.jsonl, which is missing"),
    ],
)
def test_what_cannot_be_asked_is_said_beforehand(
    tmp_path: Path, splits: str, more: str, shots: int, message: str
) -> None:
    scoring = task(tmp_path / "data" / "scoring", splits)
    file = scoring / "asked.yaml"
    key = more.partition(":")[0]
    kept = [line for line in file.read_text().splitlines() if not line.startswith(f"{key}:")]
    file.write_text("\n".join([*kept, more]))
    with pytest.raises((InputError, SettingsError), match=message):
        stage.validate(Settings(benchmarks=[Benchmark(task="asked", shots=shots)]), Paths(tmp_path))


def test_a_group_with_an_unknown_task_is_refused(tmp_path: Path) -> None:
    scoring = task(tmp_path / "data" / "scoring", SPLITS["test alone"])
    (scoring / "both.yaml").write_text("group: both\ntask: [asked, askd]\n")
    with pytest.raises(
        SettingsError, match="both contains the task 'askd', which is not defined; did you mean 'asked'"
    ):
        stage.validate(Settings(benchmarks=[Benchmark(task="both")]), Paths(tmp_path))


def test_answers_that_are_cut_are_counted(
    model: tuple[Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scoring = task(tmp_path / "scoring", SPLITS["test alone"])
    asked = engine(model, tmp_path / "record")
    wanted = [sample["prompt"] for sample in run_task({"task": "asked"}, asked, scoring).samples]
    ids = [model[1](prompt, add_special_tokens=False)["input_ids"] for prompt in wanted]
    lengths = [len(one) for one in ids]
    import torch

    cut = 0
    for prompt, length in zip(ids, lengths, strict=True):  # an answer of four tokens among which none ends it
        with torch.no_grad():
            answer = model[0].generate(torch.tensor([prompt]), max_new_tokens=4, do_sample=False)[0, length:].tolist()
        cut += model[1].eos_token_id not in answer and model[1].convert_tokens_to_ids("<|im_end|>") not in answer
    scores = run_task({"task": "asked"}, asked, scoring).scores["asked"]
    assert cut > 0
    assert scores["cut"] == cut
    assert f"asked: {counted(cut, 'answers')} reached the task's max_gen_toks" in capsys.readouterr().out
