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
                f"{file.relative_to(project)} here is not temper's, but Python would import it as temper's package "
                f"{name}; rename it, or make a project in another folder: temper new DIR."
            )
    pipeline = Paths(project).pipeline
    if STAGE in pipeline.read_text(encoding="utf-8", errors="replace") and not (project / OURS["tasks"]).is_file():
        raise MachineError(
            f"{pipeline.name} runs temper's stages, but their code, the folder tasks, is not here; restore it from "
            "git, or make a project, which has both: temper new DIR."
        )
