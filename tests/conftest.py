"""The order of files: workers take them from the front, so what takes longest must not come last."""

import pytest

LONGEST = ["tests/test_chain.py", "tests/flows/test_page.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within a file stays (the sort is stable)."""
    rank = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
