"""Keys of teachers: from the environment, else from Prefect Secrets, handed to the stage's process, nowhere else."""

import shlex
from dataclasses import replace

from flows.system.process import Command
from tasks.core.paths import Paths
from tasks.core.settings import load
from tasks.stages import names, stage
from tasks.teacher.settings import secret_name


def with_secrets(command: Command) -> Command:
    """The command with the keys that its teachers need and its environment lacks, where a Secret has them."""
    name, *item = shlex.split(command.text.partition("-m tasks ")[2]) or [""]
    if name not in names() or (teachers := stage(name).teachers) is None:
        return command
    used = teachers(load(stage(name).settings, Paths(command.folder).params, name), *item)
    lacking = sorted(
        {teacher.key_name for teacher in used if teacher.key_name and not command.environment.get(teacher.key_name)}
    )
    keys = {key_name: _secret(secret_name(key_name)) for key_name in lacking}
    return replace(command, environment={**command.environment, **{name: key for name, key in keys.items() if key}})


def _secret(name: str) -> str | None:
    from prefect.blocks.system import Secret

    try:
        return str(Secret.load(name).get())  # type: ignore[union-attr]
    except ValueError:  # there is none of this name; the stage will say what it needs
        return None
