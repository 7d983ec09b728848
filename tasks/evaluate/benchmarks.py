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

from tasks.benchmarks import manager, told
from tasks.core.errors import InputError, TemperError
from tasks.core.files import fingerprint, write_json
from tasks.evaluate.engine import Engine
from tasks.evaluate.harness import Harness
from tasks.evaluate.overlap import overlap
from tasks.evaluate.settings import Benchmark
from tasks.statistics import intervals

SEED, FEWSHOT_SEED = 0, 1234
"""lm-eval's own, so that its scores are these."""

Reporter = Callable[[str, int, str], Callable[..., None]]


@dataclass
class Benchmarks:
    """What all tasks gave: scores by task, and a row for each question."""

    scores: dict[str, Any]
    samples: list[dict[str, Any]]

    def write(self, folder: Path) -> None:
        """Write benchmarks.json and samples.parquet (task, number, prompt, target, answer, and each metric's score)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        write_json(folder / "benchmarks.json", self.scores)
        pq.write_table(pa.Table.from_pylist(self.samples), folder / "samples.parquet")


def benchmarked(wanted: list[Benchmark], engine: Engine, scoring: Path, reporter: Reporter) -> Benchmarks:
    """Ask every task of `wanted`; those of the folder `scoring` come before lm-eval's own."""
    _remember_templates()
    scores: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for one in wanted:
        found, asked = _asked(one, engine, scoring, reporter)
        scores |= found
        samples += asked
    return Benchmarks(scores, samples)


def _asked(
    one: Benchmark, engine: Engine, scoring: Path, reporter: Reporter
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from lm_eval.evaluator import evaluate

    harness = Harness(
        engine, chat=one.chat_template, report=lambda what, total: reporter(f"benchmark {one.task}", total, what)
    )
    try:
        loaded = _loaded(one, manager(one.task, scoring, "evaluate.benchmarks"))
        shared = {name: overlap(task, one.limit) for name, task in loaded["tasks"].items()}
        results: Any = evaluate(
            harness,
            loaded,
            limit=one.limit,
            apply_chat_template=one.chat_template,
            fewshot_as_multiturn=one.chat_template,
            bootstrap_iters=0,
            log_samples=True,
        )
    except TemperError:
        raise
    except Exception as error:  # a task is a program of strangers: YAML, templates, data
        raise InputError(f"evaluate.benchmarks: the task {one.task} cannot be asked ({told(error)}).") from error
    if harness.truncated and not one.truncate:
        raise InputError(
            f"evaluate.benchmarks: {len(harness.truncated)} questions of {one.task} are longer than the context of "
            f"{engine.context} tokens (the longest: {max(harness.truncated)}); lower its shots, or set its truncate: "
            "true to ask them without their start, which is counted."
        )
    scores, samples = {}, []
    for name, rows in sorted(results["samples"].items()):
        rows = _questions(rows)
        config = results["configs"][name]
        scores[name] = {
            "metrics": _metrics(rows, results["higher_is_better"].get(name, {})),
            "shots": results["n-shot"].get(name),
            "version": results["versions"].get(name),
            "chat_template": one.chat_template,
            "truncated": len(harness.truncated),
            "among_the_examples": shared[name],
            "prompts": fingerprint([row["prompt_hash"] for row in rows])[:16],
            "config": fingerprint(json.loads(json.dumps(config, default=_name)))[:16],
            "first_prompt": str(harness.first)[:2000],
        }
        samples += [_sample(name, row) for row in rows]
        if shared[name]:
            print(f"benchmark {name}: {shared[name]} of its questions stand among its examples", flush=True)
    return scores, samples


def _remember_templates() -> None:
    """Let lm-eval compile each template of a task once, not for each question: 2 ms of 8 for a small model."""
    from lm_eval.utils import env

    if not hasattr(env.from_string, "cache_info"):
        setattr(env, "from_string", lru_cache(256)(env.from_string))  # noqa: B010  a method, says mypy


def _loaded(one: Benchmark, manager: Any) -> Any:
    """The task or group, ready to be asked, with as many examples as the settings say and always the same ones.

    As lm-eval itself does it, but for looking into the environment, which takes it a second and names packages. A task
    that fixes its examples at 0 keeps to that.
    """
    random.seed(SEED)
    np.random.seed(FEWSHOT_SEED)
    loaded = manager.load([one.task])
    for task in loaded["tasks"].values():
        fixed = task.get_config("num_fewshot")
        if fixed is None or (one.shots is not None and fixed != 0):
            task.set_config(key="num_fewshot", value=one.shots or 0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return loaded


def _questions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each question, in their order, with its `scores` by name and what each filter `read` from its answers.

    A task with several filters reads an answer in several ways, and lm-eval has a row for each of them: their scores
    are named METRIC,FILTER, as in its tables.
    """
    several = len({row["filter"] for row in rows}) > 1
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        whole = found.setdefault(int(row["doc_id"]), {**row, "scores": {}, "read": {}})
        for metric in row["metrics"]:
            whole["scores"][f"{metric},{row['filter']}" if several else metric] = row[metric]
        whole["read"][row["filter"]] = row["filtered_resps"]
    return [found[number] for number in sorted(found)]


def _metrics(rows: list[dict[str, Any]], higher: dict[str, bool]) -> dict[str, Any]:
    """Scores that are a mean over questions, by name, with their intervals."""
    found = {}
    for name in sorted({name for row in rows for name in row["scores"]}):
        values = [row["scores"][name] for row in rows if name in row["scores"]]
        if values and all(isinstance(value, int | float) for value in values):
            better = "lower" if higher.get(name.split(",")[0]) is False else "higher"
            found[name] = {**intervals.mean(values), "better": better}
    return found


def _sample(task: str, row: dict[str, Any]) -> dict[str, Any]:
    scores = {name: value for name, value in row["scores"].items() if isinstance(value, int | float)}
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
        "scores": json.dumps({name: float(value) for name, value in sorted(scores.items())}),
    }


def _name(value: Any) -> str:
    """A value that JSON does not know, without its address in memory."""
    return getattr(value, "__name__", type(value).__name__)
