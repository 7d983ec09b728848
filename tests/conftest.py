"""The order of files: workers take them from the front, so what takes longest must not come last."""

import pytest

PATIENCE = 1200
"""Seconds until a long test that hangs is ended; others have `timeout` in pyproject.toml."""

LONGEST = ["tests/test_chain.py", "tests/flows/test_page.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within a file stays (the sort is stable). Long tests get `PATIENCE`."""
    rank = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(PATIENCE))
