"""Tasks of lm-eval, asked of one candidate: what a model knew before tuning, and whether it still does.

lm-eval's own caches stay off, as they return old answers after a change of prompt, limits or model; a killed run goes
on from the record of the engine, whose keys are the token ids that are asked.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tasks.benchmarks import manager, one_line
from tasks.core.errors import InputError, TemperError
from tasks.core.files import fingerprint, write_json
from tasks.core.numbers import counted
from tasks.evaluate import benchmark_scores
from tasks.evaluate.benchmark_draw import questions, takes_numbers
from tasks.evaluate.engine import Engine
from tasks.evaluate.examples import keep_question_out
from tasks.evaluate.harness import Harness
from tasks.evaluate.overlap import overlap
from tasks.evaluate.settings import Benchmark

SEED, FEWSHOT_SEED = 0, 1234
"""lm-eval's own, so that its scores are these."""

Reporter = Callable[[str, int, str], Callable[..., None]]


@dataclass
class BenchmarkResults:
    """What all tasks gave: scores by task, and a row for each question."""

    scores: dict[str, Any]
    samples: list[dict[str, Any]]

    def write(self, folder: Path) -> None:
        """Write benchmarks.json and samples.parquet (task, number, prompt, target, answer, and each metric's score)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        write_json(folder / "benchmarks.json", self.scores)
        pq.write_table(pa.Table.from_pylist(self.samples), folder / "samples.parquet")


def run_benchmarks(benchmarks: list[Benchmark], engine: Engine, scoring: Path, reporter: Reporter) -> BenchmarkResults:
    """Ask every task of `benchmarks`; those of the folder `scoring` come before lm-eval's own.

        results = run_benchmarks([Benchmark(task="arc_easy", limit=100)], engine, paths.scoring, reporter)
        results.scores["arc_easy"]["metrics"]["acc"]["value"]

    Raises `InputError` or `SettingsError` for a task that cannot be asked.
    """
    _remember_templates()
    scores: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for benchmark in benchmarks:
        task_scores, task_samples = _run_benchmark(benchmark, engine, scoring, reporter)
        scores |= task_scores
        samples += task_samples
    return BenchmarkResults(scores, samples)


def _run_benchmark(
    benchmark: Benchmark, engine: Engine, scoring: Path, reporter: Reporter
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from lm_eval.evaluator import evaluate

    harness = Harness(
        engine,
        chat=benchmark.chat_template,
        report=lambda what, total: reporter(f"benchmark {benchmark.task}", total, what),
    )
    try:
        loaded = _load_tasks(benchmark, manager(benchmark.task, scoring, "evaluate.benchmarks"))
        by_number = takes_numbers()
        asked = {name: questions(task, benchmark.limit, drawn=by_number) for name, task in loaded["tasks"].items()}
        shared = {name: overlap(task, asked[name].numbers) for name, task in loaded["tasks"].items()}
        drawn = benchmark.limit is not None and by_number
        results: Any = evaluate(
            harness,
            loaded,
            limit=None if drawn else benchmark.limit,
            **({"samples": {name: [*one.numbers] for name, one in asked.items()}} if drawn else {}),
            apply_chat_template=benchmark.chat_template,
            fewshot_as_multiturn=benchmark.chat_template,
            bootstrap_iters=0,
            log_samples=True,
        )
    except TemperError:
        raise
    except Exception as error:  # a task is a program of strangers: YAML, templates, data
        raise InputError(
            f"evaluate.benchmarks: the task {benchmark.task} cannot be run ({one_line(error)})."
        ) from error
    if harness.truncated and not benchmark.truncate:
        raise InputError(
            f"evaluate.benchmarks: {len(harness.truncated)} questions of {benchmark.task} are longer than the context "
            f"of {engine.context} tokens (the longest: {max(harness.truncated)}); lower its shots, or set its "
            "truncate: true to cut their start (the report counts these questions)."
        )
    scores, samples = {}, []
    for name, rows in sorted(results["samples"].items()):
        rows = _one_row_a_question(rows)
        config = results["configs"][name]
        metrics = benchmark_scores.measured(
            rows, loaded["tasks"][name].aggregation(), results["higher_is_better"].get(name, {})
        )
        benchmark_scores.check(name, metrics)
        scores[name] = {
            "metrics": metrics,
            "shots": results["n-shot"].get(name),
            "version": results["versions"].get(name),
            "chat_template": benchmark.chat_template,
            "truncated": len(harness.truncated),
            "cut": harness.cut[name],
            "among_the_examples": shared[name],
            "drawn": asked[name].record,
            "prompts": fingerprint([row["prompt_hash"] for row in rows])[:16],
            "config": fingerprint(json.loads(json.dumps(config, default=_name)))[:16],
            "first_prompt": str(harness.first)[:2000],
        }
        samples += [_sample(name, row) for row in rows]
        if shared[name]:
            print(f"benchmark {name}: {shared[name]} of its questions are among its examples", flush=True)
        if harness.cut[name]:
            print(
                f"benchmark {name}: {counted(harness.cut[name], 'answers')} reached the task's max_gen_toks before the "
                "model or a stop string ended them",
                flush=True,
            )
    return scores, samples


def _remember_templates() -> None:
    """Let lm-eval compile each template of a task once, not for each question: 2 ms of 8 for a small model."""
    from lm_eval.utils import env

    if not hasattr(env.from_string, "cache_info"):
        setattr(env, "from_string", lru_cache(256)(env.from_string))  # noqa: B010  a method, says mypy


def _load_tasks(benchmark: Benchmark, manager: Any) -> Any:
    """The task or group, ready to be asked, with as many examples as the settings say and always the same ones.

    As lm-eval itself does it, but for looking into the environment, which takes it a second and names packages. A task
    that fixes its examples at 0 keeps to that.
    """
    random.seed(SEED)
    np.random.seed(FEWSHOT_SEED)
    loaded = manager.load([benchmark.task])
    for task in loaded["tasks"].values():
        fixed = task.get_config("num_fewshot")
        if fixed is None or (benchmark.shots is not None and fixed != 0):
            task.set_config(key="num_fewshot", value=benchmark.shots or 0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        keep_question_out(task)
    return loaded


def _one_row_a_question(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each question, in their order, with its `scores` by name and what each filter `read` from its answers.

    A task with several filters reads an answer in several ways, and lm-eval has a row for each of them: their scores
    are named METRIC,FILTER, as in its tables.
    """
    several_filters = len({row["filter"] for row in rows}) > 1
    questions: dict[int, dict[str, Any]] = {}
    for row in rows:
        question = questions.setdefault(int(row["doc_id"]), {**row, "scores": {}, "read": {}})
        for metric in row["metrics"]:
            question["scores"][f"{metric},{row['filter']}" if several_filters else metric] = row[metric]
        question["read"][row["filter"]] = row["filtered_resps"]
    return [questions[number] for number in sorted(questions)]


def _sample(task: str, row: dict[str, Any]) -> dict[str, Any]:
    arguments = row["arguments"]
    first = arguments[0] if isinstance(arguments, list | tuple) else next(iter(arguments.values()))
    prompt = first[0] if isinstance(first, list | tuple) else next(iter(first.values()))
    read = next(iter(row["read"].values())) if len(row["read"]) == 1 else row["read"]
    return {
        "task": task,
        "number": int(row["doc_id"]),
        "question": row["doc_hash"],
        "prompt": str(prompt),
        "target": str(row["target"]),
        "answer": json.dumps(read, ensure_ascii=False, default=str),
        "scores": json.dumps(row["scores"], sort_keys=True),
    }


def _name(value: Any) -> str:
    """A value that JSON does not know, without its address in memory."""
    return getattr(value, "__name__", type(value).__name__)
