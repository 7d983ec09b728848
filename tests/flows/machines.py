"""Two machines: each has a clone, a cache and a gate of its own; they share a git remote, a DVC remote and a server."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prefect.client.orchestration import SyncPrefectClient

from benchmarks.server import Server, running
from flows.server import credentials
from tests.flows.project import ROOT, Toy
from tests.flows.site import Site


class Machines(NamedTuple):
    """The machine that deploys and asks, and the one that is to work."""

    here: Toy
    there: Toy
    client: SyncPrefectClient
    server: Server
    origin: Path
    """The git remote."""
    store: Path
    """The DVC remote."""


@contextmanager
def two_machines(fresh: Path, folder: Path, policies: str) -> Iterator[Machines]:
    """Two clones of the toy in which nothing has run; what `here` deployed the server knows. `policies` are both's."""
    checkout, origin, store = folder / "here/toy", folder / "origin", folder / "store"
    shutil.copytree(fresh, checkout)
    shutil.copytree(ROOT / "infra", checkout / "infra")
    (checkout / "infra/stages.yaml").write_text(policies)
    with running() as server, SyncPrefectClient(server.url, auth_string=credentials.known(server.url)) as client:
        here = _machine(checkout, server)
        here.dvc("remote", "add", "--default", "store", str(store))
        here.call("git", "add", "--all")
        here.call("git", "commit", "--quiet", "--message", "share")
        here.call("git", "clone", "--quiet", "--bare", ".", str(origin))
        here.call("git", "remote", "add", "origin", str(origin))
        here.command("deploy")
        (folder / "there").mkdir()
        here.call("git", "clone", "--quiet", str(origin), str(folder / "there/toy"))
        yield Machines(here, _machine(folder / "there/toy", server), client, server, origin, store)


@contextmanager
def hired(machines: Machines, toy: Toy, *options: str, pool: str = "temper") -> Iterator[Site]:
    """A worker on one of the machines."""
    site = Site(toy, machines.client, machines.server, *options, pool=pool)
    try:
        yield site
    finally:
        site.dismiss()


def _machine(path: Path, server: Server) -> Toy:
    toy = Toy(path, server.url)
    toy.environment["PREFECT_HOME"] = str(path.parent / "home")
    return toy
