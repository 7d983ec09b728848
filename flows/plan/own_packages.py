"""Stages run as `python -m tasks` in the project's folder, where Python looks first: what lies there has to be ours."""

from pathlib import Path

from tasks.core.errors import MachineError
from tasks.core.paths import Paths
from temper import OURS, namesake

STAGE = "python -m tasks "
"""How the pipeline of a project starts a stage of temper."""


def check(project: Path) -> None:
    """Raise `MachineError` where the pipeline in `project` would start another package, or has no package to start."""
    for name in OURS:
        if file := namesake(name, project):
            raise MachineError(
                f"{file.relative_to(project)} here is not temper's, and Python would take it for the package {name} of "
                "temper, which stages run from this folder; rename it, or make a project beside it: temper new DIR."
            )
    pipeline = Paths(project).pipeline
    if STAGE in pipeline.read_text(encoding="utf-8", errors="replace") and not (project / OURS["tasks"]).is_file():
        raise MachineError(
            f"{pipeline.name} runs temper's stages, and their code, the folder tasks, is not here; take it from git, "
            "or make a project, which holds both: temper new DIR."
        )
