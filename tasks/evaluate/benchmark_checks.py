"""What of a benchmark cannot be asked, said before anything is trained: by the files of its tasks, and local data."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.benchmarks import manager, one_line
from tasks.core.errors import InputError, SettingsError
from tasks.evaluate.settings import Benchmark

KEY = "evaluate.benchmarks"

LOCAL = ("json", "csv", "parquet", "text", "arrow")
"""Kinds of data sets that are files here, not on the hub."""

SAMPLERS = ("default", "first_n")
"""Ways to draw examples that lm-eval has an implementation of."""


def check(benchmark: Benchmark, scoring: Path) -> None:
    """Raise `SettingsError` or `InputError` for a task or group that could not be asked once everything is trained.

    check(Benchmark(task="arc_easy", shots=5), paths.scoring)

    Data sets of the hub are not fetched for it.
    """
    tasks = manager(benchmark.task, scoring, KEY)
    local = False
    for name, config in _configs(tasks, benchmark.task, benchmark.task):
        _check_task(benchmark, name, config)
        local |= config.get("dataset_path") in LOCAL
    if local and benchmark.shots and benchmark.task in tasks.all_subtasks:
        _check_examples(benchmark, tasks)


def _configs(tasks: Any, name: str, parent: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and file of each task that `name` stands for, with functions unresolved; none of tasks in Python."""
    entry = tasks.task_index.get(name)
    if entry is None:
        near = difflib.get_close_matches(name, tasks.all_tasks, n=1)
        advice = f"did you mean {near[0]!r}?" if near else "remove it from the group."
        raise SettingsError(f"{KEY}: {parent} contains the task {name!r}, which is not defined; {advice}")
    config = entry.cfg or {}
    if name in tasks.all_subtasks:
        if "class" not in config:
            yield name, config
    elif name in tasks.all_tags:
        for other in tasks.all_subtasks:
            if name in _tags(tasks.task_index[other].cfg or {}):
                yield from _configs(tasks, other, parent)
    else:
        parts = config.get("task") or []
        for part in [parts] if isinstance(parts, str | dict) else parts:
            if isinstance(part, str):
                yield from _configs(tasks, part, name)
            elif isinstance(part, dict) and isinstance(part.get("task"), str) and part["task"] in tasks.task_index:
                for inner, inner_config in _configs(tasks, part["task"], name):
                    yield inner, {**inner_config, **part}


def _tags(config: dict[str, Any]) -> list[str]:
    tags = config.get("tag") or []
    return [tags] if isinstance(tags, str) else list(tags)


def _check_task(benchmark: Benchmark, name: str, config: dict[str, Any]) -> None:
    fixed = config.get("num_fewshot")
    shots = fixed if fixed == 0 or benchmark.shots is None else benchmark.shots
    kind = config.get("output_type", "generate_until")
    if shots and kind == "loglikelihood_rolling":
        raise SettingsError(f"{KEY}: {name} scores whole texts and takes no examples; set its shots to 0.")
    sampler = (config.get("fewshot_config") or {}).get("sampler", "default")
    if shots and isinstance(sampler, str) and sampler not in SAMPLERS:
        raise SettingsError(
            f"{KEY}: {name} uses the sampler {sampler!r} for its examples, which lm-eval does not have; it has "
            f"{' and '.join(SAMPLERS)}."
        )
    generation = config.get("generation_kwargs") or {}
    if kind == "generate_until" and (generation.get("do_sample") or generation.get("temperature")):
        raise SettingsError(
            f"{KEY}: {name} draws its answers at random (do_sample, temperature); temper decodes greedily, so that "
            "scores can be reproduced. Remove the task, or set do_sample: false in it."
        )
    for file in _files(config):
        if "://" not in file and not any(mark in file for mark in "*?[") and not Path(file).exists():
            raise InputError(f"{KEY}: {name} reads {file}, which is missing; add the file, or fix the task.")


def _files(config: dict[str, Any]) -> list[str]:
    """Files that a task with local data names."""
    files = (config.get("dataset_kwargs") or {}).get("data_files") if config.get("dataset_path") in LOCAL else None
    groups = files.values() if isinstance(files, dict) else [files]
    named = [file for group in groups for file in (group if isinstance(group, list) else [group])]
    return [file for file in named if isinstance(file, str)]


def _check_examples(benchmark: Benchmark, tasks: Any) -> None:
    """Raise `InputError` where local data have too few examples, the question itself left out."""
    from tasks.evaluate.overlap import drawn_from_asked

    try:
        loaded = tasks.load([benchmark.task])["tasks"]
    except Exception as error:  # a task is a program of strangers
        raise InputError(f"{KEY}: the task {benchmark.task} cannot be run ({one_line(error)}).") from error
    for name, task in loaded.items():
        if task.get_config("num_fewshot") == 0 or getattr(task, "sampler", None) is None:
            continue
        left = len(task.sampler.fewshot_docs()) - drawn_from_asked(task)
        if left < (benchmark.shots or 0):
            raise InputError(
                f"{KEY}: {name} has {left} examples per question, not counting itself, which is fewer than its "
                f"{benchmark.shots} shots; lower its shots."
            )
