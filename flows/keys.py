"""Keys of teachers: from the environment, else from Prefect Secrets, handed to the stage's process, nowhere else."""

from dataclasses import replace

from flows.child import Command
from tasks.contract.settings import PARAMS, load
from tasks.generate.settings import Settings, secret_name

COMMAND = "-m tasks generate"


def with_keys(command: Command) -> Command:
    """The command with the keys that its teachers need and its environment lacks, where a Secret has them."""
    if not command.text.endswith(COMMAND):
        return command
    settings = load(Settings, command.folder / PARAMS, "generate")
    names = {teacher.key_name for teacher in settings.teachers() if teacher.key_name}
    found = {name: _secret(secret_name(name)) for name in sorted(names) if not command.environment.get(name)}
    return replace(command, environment={**command.environment, **{name: key for name, key in found.items() if key}})


def _secret(name: str) -> str | None:
    from prefect.blocks.system import Secret

    try:
        return str(Secret.load(name).get())  # type: ignore[union-attr]
    except ValueError:  # there is none of this name; the stage will say what it needs
        return None
