"""`evaluate`: a generating and a multiple-choice task of lm-eval, without examples and with five, against
lm-eval itself and a loop.

A Llama of random weights, as large as the embedded one, and questions of uneven length. `lm_eval` is its default, one
question at a time; `loop` is what one writes by hand: sorted by length, 32 at a time, no record and no statistics. Each
way runs in a process of its own, a few times in turn; seconds are those of the processors, and imports and loading are
not counted. All must say the same.
"""

import json
import os
import random
import resource
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.child import measured
from benchmarks.result import Result

GOAL = 1 / 0.9
"""Seconds for each of the loop's."""

FASTER = 4.0
"""Items a second for each of lm-eval's."""

ROWS = 32
TOKENS = 24
"""Of an answer."""

ITEMS = {"small": 128, "default": 768}
ROUNDS = {"small": 1, "default": 3}
WAYS = ("loop", "temper", "lm_eval")
TASKS = ("choose", "answer")
SHOTS = 5
WORK = {task: (task, 0) for task in TASKS} | {f"{task}_{SHOTS}_shots": (task, SHOTS) for task in TASKS}
"""What is measured: a task, and the examples before each question."""

TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl, shots: {folder}/shots.jsonl}}}}
test_split: test
fewshot_split: shots
fewshot_config: {{sampler: first_n}}
doc_to_text: "{{{{question}}}}"
{more}
metadata: {{version: 1.0}}
"""
MORE = {
    "choose": """output_type: multiple_choice
doc_to_choice: choices
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]""",
    "answer": f"""output_type: generate_until
doc_to_target: "docker"
generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: {TOKENS}, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]""",
}


def measure(full: bool) -> Result:
    """Ways in turn on one model."""
    configuration = "default" if full else "small"
    with TemporaryDirectory(prefix="temper-") as folder:
        place = Path(folder)
        run("make", place, str(ITEMS[configuration]))
        rounds = [{way: run(way, place) for way in WAYS} for _ in range(ROUNDS[configuration])]
    seconds = {work: {way: median(one[way][work]["seconds"] for one in rounds) for way in WAYS} for work in WORK}
    same = all(
        one[way][work]["answers"] == rounds[0]["loop"][work]["answers"]
        for one in rounds
        for way in WAYS
        for work in WORK
    )
    behind = max(ways["temper"] / ways["loop"] for ways in seconds.values())
    times = {work: ways["lm_eval"] / ways["temper"] for work, ways in seconds.items()}
    detail = {
        "configuration": configuration,
        "items": ITEMS[configuration],
        "items_a_second": {
            work: {way: round(ITEMS[configuration] / took, 1) for way, took in ways.items()}
            for work, ways in seconds.items()
        },
        "times_lm_eval": {work: round(ahead, 2) for work, ahead in times.items()},
        "peak_mebibytes": {way: median(one[way]["peak"] for one in rounds) for way in WAYS},
        "same_answers": same,
    }
    return Result(
        "evaluate",
        round(behind, 3),
        "x a loop by hand",
        round(GOAL, 3),
        behind <= GOAL and min(times.values()) >= FASTER and same,
        detail,
    )


def run(way: str, place: Path, *more: str) -> dict[str, Any]:
    """What a process of its own prints that goes that way in `place`."""
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(place / "cache")}
    return measured("benchmarks.evaluate", way, place, *more, **offline, TOKENIZERS_PARALLELISM="false")


def _make(place: Path, items: int) -> dict[str, Any]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    draw = random.Random(0)
    words = ("show", "stop", "remove", "all", "the", "containers", "images", "of", "named", "web", "that", "run")
    questions = [" ".join(draw.choices(words, k=draw.randint(4, 60))) for _ in range(SHOTS + items)]
    folder = place / "tasks"
    folder.mkdir()
    lines = [
        json.dumps(
            {"question": f"{one}.", "choices": [" ".join(draw.choices(words, k=draw.randint(1, 8))) for _ in range(4)]}
        )
        for one in questions
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines[SHOTS:]))
    (folder / "shots.jsonl").write_text("\n".join(lines[:SHOTS]))
    for name in TASKS:
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, folder=folder, more=MORE[name]))
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        questions,
        trainers.BpeTrainer(vocab_size=800, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False),
    )
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>").save_pretrained(
        place / "model"
    )
    set_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=813, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=6,
            num_key_value_heads=6, max_position_embeddings=512, initializer_range=0.1,
            bos_token_id=0, eos_token_id=0, pad_token_id=0,
        )
    ).save_pretrained(place / "model")  # fmt: skip
    return {}


def _loaded(place: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoTokenizer

    from tasks.models.loading import load_model

    torch.set_num_threads(1)
    return load_model(place / "model"), AutoTokenizer.from_pretrained(place / "model")


def _temper(place: Path) -> dict[str, Any]:
    import lm_eval.evaluator  # noqa: F401  not counted for the other way either

    from tasks.core.progress import reporter
    from tasks.evaluate.answer_store import AnswerStore
    from tasks.evaluate.benchmarks import run_benchmarks
    from tasks.evaluate.engine import Engine
    from tasks.evaluate.settings import Benchmark

    model, tokenizer = _loaded(place)
    measured: dict[str, Any] = {}
    before = _peak()
    for work, (task, shots) in WORK.items():
        store = AnswerStore(place / f"record-{os.getpid()}", work)
        engine = Engine(model, tokenizer, context=512, batch_size=ROWS, batch_tokens=65536, store=store)
        start = time.process_time()
        results = run_benchmarks(
            [Benchmark(task=task, shots=shots, chat_template=False)], engine, place / "tasks", reporter
        )
        measured[work] = {
            "seconds": time.process_time() - start,
            "answers": [_answer(task, json.loads(row["answer"])) for row in results.samples],
        }
    return {**measured, "peak": _peak() - before}


def _lm_eval(place: Path) -> dict[str, Any]:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model, tokenizer = _loaded(place)
    harness = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", max_length=512)
    measured: dict[str, Any] = {}
    before = _peak()
    for work, (task, shots) in WORK.items():
        start = time.process_time()
        manager = TaskManager(include_path=str(place / "tasks"), include_defaults=False)
        results = simple_evaluate(
            model=harness, tasks=[task], num_fewshot=shots, task_manager=manager, bootstrap_iters=0, log_samples=True
        )
        seconds = time.process_time() - start
        rows = sorted(results["samples"][task], key=lambda row: int(row["doc_id"]))
        measured[work] = {"seconds": seconds, "answers": [_answer(task, row["filtered_resps"]) for row in rows]}
    return {**measured, "peak": _peak() - before}


def _peak() -> int:
    """Most memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _answer(task: str, answer: Any) -> Any:
    """The answer, or the number of the choice."""
    if task == "answer":
        return answer[0]
    values = [float(value) for value, _ in answer]
    return values.index(max(values))


def _loop(place: Path) -> dict[str, Any]:
    import torch

    model, tokenizer = _loaded(place)
    tokenizer.padding_side = "left"
    ways = {"choose": _chosen, "answer": _answered}
    measured: dict[str, Any] = {}
    before = _peak()
    with torch.inference_mode():
        for work, (task, shots) in WORK.items():
            start = time.process_time()
            rows, examples = (
                [json.loads(line) for line in (place / f"tasks/{name}.jsonl").read_text().splitlines()]
                for name in ("rows", "shots")
            )
            right = [row["choices"][0] if task == "choose" else "docker" for row in examples]
            shown = [f"{row['question']} {answer}\n\n" for row, answer in zip(examples, right, strict=True)]
            questions = ["".join(shown[:shots]) + row["question"] for row in rows]
            answers = ways[task](model, tokenizer, questions, rows)
            measured[work] = {"seconds": time.process_time() - start, "answers": answers}
    return {**measured, "peak": _peak() - before}


def _chosen(model: Any, tokenizer: Any, questions: list[str], rows: list[dict[str, Any]]) -> list[int]:
    texts = [tokenizer(question)["input_ids"] for question in questions]
    pairs = [
        (context, tokenizer(f"{question} {choice}")["input_ids"][len(context) :])
        for question, row, context in zip(questions, rows, texts, strict=True)
        for choice in row["choices"]
    ]
    order = sorted(range(len(pairs)), key=lambda place: -len(pairs[place][0]) - len(pairs[place][1]))
    values = [0.0] * len(pairs)
    for first in range(0, len(order), ROWS):
        batch = order[first : first + ROWS]
        ids = [(pairs[at][0] + pairs[at][1])[:-1] for at in batch]
        padded = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        logits = model(**padded, position_ids=(padded["attention_mask"].cumsum(1) - 1).clamp(min=0)).logits
        for at, row in zip(batch, logits, strict=True):
            after = pairs[at][1]
            scores = row[-len(after) :].log_softmax(-1)
            values[at] = float(scores[range(len(after)), after].sum())
    four = [values[4 * number : 4 * number + 4] for number in range(len(rows))]
    return [one.index(max(one)) for one in four]


def _answered(model: Any, tokenizer: Any, questions: list[str], rows: list[dict[str, Any]]) -> list[str]:
    texts = [tokenizer(question)["input_ids"] for question in questions]
    order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
    answers = [""] * len(texts)
    for first in range(0, len(order), ROWS):
        batch = order[first : first + ROWS]
        padded = tokenizer.pad({"input_ids": [texts[at] for at in batch]}, return_tensors="pt")
        sequences = model.generate(
            **padded, max_new_tokens=TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
        for at, row in zip(batch, sequences[:, padded["input_ids"].shape[1] :], strict=True):
            answers[at] = tokenizer.decode(row, skip_special_tokens=True).split("\n\n")[0]
    return answers


if __name__ == "__main__":
    way, folder = sys.argv[1], Path(sys.argv[2])
    if way == "make":
        print(json.dumps(_make(folder, int(sys.argv[3]))))
    else:
        print(json.dumps({"loop": _loop, "temper": _temper, "lm_eval": _lm_eval}[way](folder)))
