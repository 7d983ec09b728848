"""How many requests are under way, and how many start in a minute: one limit for all steps of a pipeline together."""

import asyncio
import time

from tasks.teacher.response_store import ResponseStore
from tasks.teacher.settings import Teacher

POLL_INTERVAL = 0.01
"""Seconds between two looks at a limit that the requests of other steps use up."""


class RateLimiter:
    """The limits of one server, counted in the store that all steps share. Make and use it in one event loop."""

    def __init__(self, store: ResponseStore, settings: Teacher) -> None:
        self._store, self._settings = store, settings
        self._name = settings.url if settings.kind != "local" else str(settings.model)
        self._semaphore = asyncio.Semaphore(settings.concurrency)

    async def __aenter__(self) -> None:
        """Wait until fewer requests than `concurrency` are in flight."""
        await self._semaphore.acquire()
        while not self._store.acquire(self._name, self._settings.concurrency):
            await asyncio.sleep(POLL_INTERVAL)

    async def __aexit__(self, *error: object) -> None:
        self._store.release(self._name)
        self._semaphore.release()

    async def wait(self) -> None:
        """Wait for the next start that the minute has room for; starts are spread evenly."""
        if limit := self._settings.requests_per_minute:
            now = time.monotonic()  # the same clock in all processes of a machine
            await asyncio.sleep(self._store.next_start(self._name, now, 60 / limit) - now)
