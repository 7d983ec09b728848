"""Tasks of lm-eval, asked of one candidate: what a model knew before tuning, and whether it still does.

lm-eval's own caches stay off, as they return old answers after a change of prompt, limits or model; a killed run goes
on from the record of the engine, whose keys are the token ids that are asked.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contract.errors import InputError, SettingsError, TemperError
from tasks.contract.files import fingerprint, write_json
from tasks.evaluate.engine import Engine
from tasks.evaluate.harness import Harness
from tasks.evaluate.settings import Benchmark
from tasks.statistics import intervals

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
    for name in ("lm_eval", "lm-eval"):
        logging.getLogger(name).setLevel(logging.ERROR)
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
    from lm_eval.evaluator import simple_evaluate

    harness = Harness(
        engine, chat=one.chat_template, report=lambda what, total: reporter(f"benchmark {one.task}", total, what)
    )
    try:
        results = simple_evaluate(
            model=harness,
            tasks=[one.task],
            task_manager=_manager(one.task, scoring),
            num_fewshot=one.shots,
            limit=one.limit,
            apply_chat_template=one.chat_template,
            fewshot_as_multiturn=one.chat_template,
            bootstrap_iters=0,
            log_samples=True,
        )
    except TemperError:
        raise
    except Exception as error:  # a task is a program of strangers: YAML, templates, data
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"evaluate.benchmarks: the task {one.task} cannot be asked ({told}).") from error
    if harness.truncated and not one.truncate:
        raise InputError(
            f"evaluate.benchmarks: {len(harness.truncated)} questions of {one.task} are longer than the context of "
            f"{engine.context} tokens (the longest: {max(harness.truncated)}); lower its shots, or set its truncate: "
            "true to ask them without their start, which is counted."
        )
    scores, samples = {}, []
    for name, rows in sorted(results["samples"].items()):
        rows = sorted(rows, key=lambda row: int(row["doc_id"]))
        config = results["configs"][name]
        scores[name] = {
            "metrics": _metrics(rows, results["higher_is_better"].get(name, {})),
            "shots": results["n-shot"].get(name),
            "version": results["versions"].get(name),
            "chat_template": one.chat_template,
            "truncated": len(harness.truncated),
            "prompts": fingerprint([row["prompt_hash"] for row in rows])[:16],
            "config": fingerprint(json.loads(json.dumps(config, default=_name)))[:16],
            "first_prompt": str(harness.first)[:2000],
        }
        samples += [_sample(name, row) for row in rows]
    return scores, samples


def _manager(task: str, scoring: Path) -> Any:
    from lm_eval.tasks import TaskManager

    try:
        own = TaskManager(include_path=str(scoring), include_defaults=False) if scoring.is_dir() else None
        if own is not None and task in own.all_tasks:
            return own
        found = TaskManager(include_path=str(scoring) if own is not None else None)
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SettingsError(f"{scoring}: a task file there cannot be read ({told}); mend it.") from error
    if task not in found.all_tasks:
        raise SettingsError(
            f"evaluate.benchmarks: no task {task!r}, neither in {scoring} nor among those of lm-eval; a file that is "
            "no valid YAML is passed over."
        )
    return found


def _metrics(rows: list[dict[str, Any]], higher: dict[str, bool]) -> dict[str, Any]:
    """Scores that are a mean over questions, by name, with their intervals."""
    found = {}
    for metric in sorted({name for row in rows for name in row["metrics"]}):
        values = [row[metric] for row in rows if metric in row]
        if values and all(isinstance(value, int | float) for value in values):
            better = "lower" if higher.get(metric) is False else "higher"
            found[metric] = {**intervals.mean(values), "better": better}
    return found


def _sample(task: str, row: dict[str, Any]) -> dict[str, Any]:
    scores = {name: row[name] for name in row["metrics"] if isinstance(row.get(name), int | float)}
    arguments = row["arguments"]
    first = arguments[0] if isinstance(arguments, list | tuple) else next(iter(arguments.values()))
    prompt = first[0] if isinstance(first, list | tuple) else next(iter(first.values()))
    return {
        "task": task,
        "number": int(row["doc_id"]),
        "question": row["doc_hash"],
        "prompt": str(prompt),
        "target": str(row["target"]),
        "answer": json.dumps(row["filtered_resps"], ensure_ascii=False, default=str),
        "scores": json.dumps({name: float(value) for name, value in sorted(scores.items())}),
    }


def _name(value: Any) -> str:
    """A value that JSON does not know, without its address in memory."""
    return getattr(value, "__name__", type(value).__name__)
