"""Two nodes of a Ray cluster on this machine's loopback interface."""

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from tasks.core.paths import Paths
from tasks.engine import cluster, local
from tasks.engine.cluster import Cluster, connected

os.environ.update(cluster.ENVIRONMENT, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")

STORE = 80 * 2**20
"""Bytes of a node's object store."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes with a core each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=node)
    started.add_node(**node)
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def engine(nodes: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The one connection of this process; to make another takes seconds."""
    with connected(nodes.address, Paths(tmp_path_factory.mktemp("connected"))) as cluster:
        yield cluster


@pytest.fixture
def same(engine: Cluster, nodes: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Paths, Callable[[], Any]], Any]:
    """What a stage makes, which has to be the same with one process, with two, and on the nodes."""

    def same(paths: Paths, outputs: Callable[[], Any]) -> Any:
        monkeypatch.setattr(local, "cores", lambda: 1)
        alone = outputs()
        monkeypatch.setattr(local, "cores", lambda: 2)
        assert outputs() == alone
        monkeypatch.setattr(cluster, "connected", lambda address, paths: nullcontext(engine))
        counted = engine.items
        paths.params.write_text(f"machine: {{engine: ray, address: '{nodes.address}'}}\n")
        assert outputs() == alone
        assert engine.items > counted, "nothing was sent to the nodes"
        return alone

    return same
