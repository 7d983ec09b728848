"""Work on two nodes of a Ray cluster: nobody can tell from what comes out, and a node that dies costs its items only."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, MachineError
from tasks.core.paths import Paths
from tasks.engine import cluster
from tasks.engine.cluster import connected

os.environ.update(cluster.QUIET, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")

ray: Any = pytest.importorskip("ray")

STORE = 80 * 2**20
"""Bytes of a node's object store."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes with a core each, on this machine's loopback interface."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=node)
    started.add_node(**node)
    yield started
    ray.shutdown()
    started.shutdown()


def located(number: int) -> tuple[int, str, str]:
    """A number with the node that saw it, and the seed of hashes there."""
    return number, ray.get_runtime_context().get_node_id(), os.environ["PYTHONHASHSEED"]


def failing(number: int) -> int:
    if number >= 7:
        raise InputError(f"row {number} is odd.")
    return number


class Kill:
    """Work that kills its node in its midst, once, unless that is the node at which the test itself is."""

    def __init__(self, mark: Path, spared: str) -> None:
        self.mark, self.spared = mark, spared

    def __call__(self, number: int) -> int:
        time.sleep(0.02)
        if number >= 9 and ray.get_runtime_context().get_node_id() != self.spared and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)  # the node's own process, whose workers end with it
        return number * number


def test_what_comes_out_is_in_the_order_of_what_went_in(nodes: Any, paths: Paths) -> None:
    with connected(nodes.address, paths) as engine:
        assert engine.places == 2
        results = list(engine.ordered(located, range(40)))
        assert [number for number, _, _ in results] == list(range(40))
        assert len({node for _, node, _ in results}) == 2
        assert {seed for _, _, seed in results} == {"0"}
        seen = []
        with pytest.raises(InputError, match=r"^row 7 is odd\.$"):
            for number in engine.ordered(failing, range(40)):
                seen.append(number)
        assert seen == list(range(7))


def test_a_node_that_dies_costs_what_it_was_working_on(nodes: Any, paths: Paths, tmp_path: Path) -> None:
    with connected(nodes.address, paths) as engine:
        work = Kill(tmp_path / "killed", ray.get_runtime_context().get_node_id())
        assert list(engine.ordered(work, range(60))) == [number * number for number in range(60)]
        assert (tmp_path / "killed").exists()
