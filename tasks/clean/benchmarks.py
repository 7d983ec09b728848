"""Questions of lm-eval's tasks, which no row may repeat that is trained on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.benchmarks import manager, one_line
from tasks.clean.duplicates import normalise
from tasks.core.errors import InputError, TemperError


def questions(names: tuple[str, ...], scoring: Path) -> Iterator[str]:
    """What every task asks, normalised: each question, and it with each of its choices.

    Raises `SettingsError` for a task that is not known, `InputError` for one whose data cannot be read.
    """
    for name in names:
        try:
            loaded = manager(name, scoring, "clean.benchmarks").load([name])
            for task in loaded["tasks"].values():
                for doc in task.eval_docs:
                    yield from (normalise(text) for text in _asked(task, doc))
        except TemperError:
            raise
        except Exception as error:  # a task is a program of strangers: YAML, templates, data
            raise InputError(
                f"clean.benchmarks: the questions of {name} cannot be read ({one_line(error)})."
            ) from error


def _asked(task: Any, doc: Any) -> Iterator[str]:
    question = str(task.doc_to_text(doc))
    if question.strip():
        yield question
    if task.config.doc_to_choice is not None:
        for choice in task.doc_to_choice(doc):
            yield f"{question} {choice}"
