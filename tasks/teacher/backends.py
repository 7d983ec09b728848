"""From settings to whom they describe; what that needs loads when it is asked for."""

import os
from pathlib import Path

from tasks.teacher.client import Voice
from tasks.teacher.errors import Stopped
from tasks.teacher.settings import Teacher, secret_name


def model_of(settings: Teacher) -> str:
    """The model's name for the record: that of a local folder changes with its content."""
    if settings.kind != "local":
        return str(settings.model)
    from tasks.teacher.local import local_name

    return local_name(Path(str(settings.model)))


def voice(settings: Teacher) -> Voice:
    """Whom `settings` describe. A server's key is read from the environment here and kept nowhere else.

    Raises `Stopped` where it is not there.
    """
    if settings.kind == "local":
        from tasks.teacher.local import Local

        return Local(settings)
    from tasks.teacher.server import Server

    name = settings.key_name
    if name and not os.environ.get(name):
        raise Stopped(
            f"the environment has no such variable as {name} (key_variable); set it to the key, "
            f"or keep that as the Prefect Secret '{secret_name(name)}', or set null for a server that needs none",
            "input",
        )
    return Server(settings, os.environ[name] if name else None)
