"""Tasks of lm-eval by name: those of the folder `data/scoring` come before its own."""

import difflib
from pathlib import Path
from typing import Any

from tasks.core.errors import SettingsError


def manager(task: str, scoring: Path, key: str) -> Any:
    """lm-eval's manager of tasks that knows `task`; `key` is the setting that names it.

    Raises `SettingsError` where there is no such task, or a file in `scoring` cannot be read.
    """
    from lm_eval.tasks import TaskManager

    try:
        scoring_manager = TaskManager(include_path=str(scoring), include_defaults=False) if scoring.is_dir() else None
        if scoring_manager is not None and task in scoring_manager.all_tasks:
            return scoring_manager
        any_manager = TaskManager(include_path=str(scoring) if scoring_manager is not None else None)
    except Exception as error:
        raise SettingsError(f"{scoring}: a task file there cannot be read ({one_line(error)}); fix it.") from error
    if task not in any_manager.all_tasks:
        near = difflib.get_close_matches(task, any_manager.all_tasks, n=1)
        advice = f"did you mean {near[0]!r}?" if near else "files that are not valid YAML are skipped."
        raise SettingsError(f"{key}: unknown task {task!r}: neither {scoring} nor lm-eval has it; {advice}")
    return any_manager


def one_line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
