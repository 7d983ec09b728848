"""The section `machine` of params.yaml: what carries a run out, which is no part of any result."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tasks.core.paths import Paths
from tasks.core.settings import Settings, load, read

SECTION = "machine"

HOST = r"^[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5}$"


class Machine(Settings):
    """The machine, or the cluster, that runs this. No stage depends on it: the bytes are the same on each."""

    price: Annotated[float, Field(ge=0)] = 0.0
    """Of an hour, in any currency, for what training will cost and did; 0: cost is not told."""
    engine: Literal["local", "ray"] = "local"
    """What carries out the work of clean, template, evaluate, the reading of documents in generate, and the answers of
    teachers and judges of the kind local: `local`, processes on all cores of this machine; `ray`, tasks on all nodes of
    a Ray cluster (`pip install 'temper[ray]'`). Results are the same. Servers are asked by one process with either."""
    address: Annotated[str, Field(pattern=HOST)] | None = None
    """With `engine: ray`, host and port of the cluster's head, such as 10.0.0.5:6379; null: a cluster of this machine
    alone, which starts with the stage and ends with it."""


def machine(paths: Paths) -> Machine:
    """What the project's params.yaml says of the machine; the defaults where it says nothing."""
    path: Path = paths.params
    if not path.is_file() or SECTION not in read(path, "safe"):
        return Machine()
    return load(Machine, path, SECTION)
