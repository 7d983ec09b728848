"""Keys of services, which no process of a cluster needs, and which its processes therefore do not get."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.core.paths import Paths
from tasks.core.settings import read

FIELD = "key_variable"
"""The key of params.yaml that names a variable with a service's key, in whatever section."""

USUAL = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"})
"""Variables that hold keys without being named."""


@contextmanager
def without_keys(paths: Paths) -> Iterator[None]:
    """Within the block, the environment, which processes that start inherit, has no key that the project knows of."""
    named = _named(read(paths.params, "safe")) if paths.params.is_file() else ()
    taken = {name: os.environ.pop(name) for name in {*USUAL, *named} if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)


def _named(value: Any) -> Iterator[str]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _named(part)
    if isinstance(value, dict) and isinstance(name := value.get(FIELD), str):
        yield name
