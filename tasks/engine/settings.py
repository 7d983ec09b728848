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
    """Price of an hour, in any currency, for the estimated and the actual cost of training; 0: no cost is shown."""
    engine: Literal["local", "ray"] = "local"
    """Where the work of clean, template and evaluate, the reading of documents in generate, and the answers of teachers
    and judges of the kind local are computed. local: in processes on all cores of this machine. ray: in tasks on all
    nodes of a Ray cluster (`pip install 'temper[ray]'`). Results are the same. Either way, one process sends the
    requests to servers."""
    address: Annotated[str, Field(pattern=HOST)] | None = None
    """`engine: ray`: HOST:PORT of the cluster's head node, such as 10.0.0.5:6379; null: a cluster on this machine
    alone, which starts and stops with the stage."""


def machine(paths: Paths) -> Machine:
    """What the project's params.yaml says of the machine; the defaults where it says nothing."""
    path: Path = paths.params
    if not path.is_file() or SECTION not in read(path, "safe"):
        return Machine()
    return load(Machine, path, SECTION)
