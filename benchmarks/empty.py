"""The yardstick of `cached`: a Prefect flow with tasks that do nothing. `python -m benchmarks.empty COUNT`."""

import sys

from prefect import flow, task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE, persist_result=False)
def nothing() -> None:
    """A task that costs what Prefect costs."""


@flow
def empty(count: int) -> None:
    """Submit `count` tasks and wait for them."""
    for future in [nothing.submit() for _ in range(count)]:
        future.result()


if __name__ == "__main__":
    empty(int(sys.argv[1]))
