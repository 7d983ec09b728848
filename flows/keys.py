"""Keys of teachers: from the environment, else from Prefect Secrets, handed to the stage's process, nowhere else."""

import shlex
from dataclasses import replace

from flows.child import Command
from tasks import evaluate, generate, judge
from tasks.contract.settings import PARAMS, load
from tasks.teacher.settings import secret_name

Settings = generate.Settings | evaluate.Settings | judge.Settings

ASKING: dict[str, type[Settings]] = {
    "generate": generate.Settings,
    "evaluate": evaluate.Settings,
    "judge": judge.Settings,
}
"""Settings of the stages that ask teachers."""


def with_keys(command: Command) -> Command:
    """The command with the keys that its teachers need and its environment lacks, where a Secret has them."""
    stage, *item = shlex.split(command.text.partition("-m tasks ")[2]) or [""]
    if stage not in ASKING:
        return command
    teachers = load(ASKING[stage], command.folder / PARAMS, stage).teachers(*item)
    names = {teacher.key_name for teacher in teachers if teacher.key_name}
    found = {name: _secret(secret_name(name)) for name in sorted(names) if not command.environment.get(name)}
    return replace(command, environment={**command.environment, **{name: key for name, key in found.items() if key}})


def _secret(name: str) -> str | None:
    from prefect.blocks.system import Secret

    try:
        return str(Secret.load(name).get())  # type: ignore[union-attr]
    except ValueError:  # there is none of this name; the stage will say what it needs
        return None
