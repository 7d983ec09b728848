"""From settings to the backend that they describe; its libraries load when you ask for it.

backend = create_backend(Teacher(kind="openai", base_url="http://127.0.0.1:8000/v1", model="m"))
"""

import os
from pathlib import Path

from tasks.teacher.client import Backend
from tasks.teacher.errors import FatalError
from tasks.teacher.nodes import Nodes
from tasks.teacher.settings import Teacher, secret_name


def model_name(settings: Teacher) -> str:
    """The model's name for the record: that of a local folder changes with its content."""
    if settings.kind != "local":
        return str(settings.model)
    from tasks.teacher.local import local_name

    return local_name(Path(str(settings.model)))


def create_backend(settings: Teacher, where: Nodes | None = None) -> Backend:
    """The backend that `settings` describe; a model folder's answers on the nodes `where`, if there are any.

    A server's key is read from the environment here and kept nowhere else, so servers are asked by this process alone.
    Raises `FatalError` where it is not there.
    """
    if settings.kind == "local" and where is not None:
        from tasks.teacher.spread import SpreadBackend

        return SpreadBackend(settings, where)
    if settings.kind == "local":
        from tasks.teacher.local import LocalBackend

        return LocalBackend(settings)
    from tasks.teacher.server import ServerBackend

    variable = settings.key_name
    if variable and not os.environ.get(variable):
        raise FatalError(
            f"the environment variable {variable} is not set (key_variable); set it to the key, store the key as the "
            f"Prefect Secret '{secret_name(variable)}', or set key_variable to null for a server that needs no key",
            "input",
        )
    return ServerBackend(settings, os.environ[variable] if variable else None)
