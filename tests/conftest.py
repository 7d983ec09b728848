"""What all tests share: one real Prefect server, and the order of files."""

import gc
import os
import sys
from collections.abc import Iterator

import pytest

from tasks.core.imports import spare_transformers
from tasks.engine import local
from tests import shared

gc.disable()  # while torch and its kind are imported there is nothing to collect, and it takes long
spare_transformers()

PATIENCE = 1200
"""Seconds until a long test that hangs is ended; others have `timeout` in pyproject.toml."""

MANY, OBJECTS = 50, 50_000
"""Modules after any test, and objects after the last one of a file, that are worth the time of putting them away."""

imported = {"modules": 0}
"""How many modules there were when they were put away last."""

LONGEST = [
    "tests/test_chain.py",
    "tests/tasks/generate/test_generate.py",
    "tests/flows/test_crash.py",
    "tests/flows/test_parity.py",
    "tests/flows/test_deployed.py",
    "tests/flows/plan/test_preflight.py",
    "tests/flows/run/test_secrets.py",
    "tests/tasks/generate/test_recipes.py",
    "tests/flows/results/test_page.py",
    "tests/flows/run/test_run.py",
    "tests/families/test_families.py",
    "tests/tasks/align/test_sampling.py",
    "tests/test_contributing.py",
    "tests/tasks/report/test_plain_trl.py",
]
"""Workers take files from the front, so what takes longest must not come last."""


def pytest_configure(config: pytest.Config) -> None:
    """Open what all share, in the process that pytest was called in.

    Workers have one thread each, unless the environment says otherwise: a second one would wait for a core, and spin.
    """
    if not hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        shared.begin(all_tests=bool(config.getoption("numprocesses", None)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close it there."""
    if not hasattr(config, "workerinput"):
        shared.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within a file stays (the sort is stable). Long tests get `PATIENCE`."""
    rank = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(PATIENCE))


def pytest_collection_finish() -> None:
    """What is imported stays: no collection need look at it."""
    gc.freeze()
    gc.enable()
    imported["modules"] = len(sys.modules)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Nor at what tests import, or libraries keep: each training collects, and took several times as long by that."""
    last = nextitem is None or nextitem.path != item.path
    if len(sys.modules) > imported["modules"] + MANY or (last and len(gc.get_objects()) > OBJECTS):
        gc.collect()
        gc.freeze()
        imported["modules"] = len(sys.modules)


@pytest.fixture(scope="session", autouse=True)
def one_process() -> Iterator[None]:
    """Stages that run in this process fork no workers: other tests have the other cores.

    That several processes make the same is compared in tests/tasks/engine; stages in processes of their own fork.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "cores", lambda: 1)
        yield


@pytest.fixture(scope="session")
def api() -> Iterator[str]:
    """The address of a real Prefect server, which flows in this process report to."""
    os.environ.update(DO_NOT_TRACK="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.server import credentials

    url = shared.server()
    server = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: credentials.known(url)}
    with temporary_settings(server), _temporary_global_settings_context(get_settings_context()):
        yield url
        APILogWorker.drain_all()
        EventsWorker.drain_all()
