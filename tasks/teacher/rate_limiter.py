"""How many requests are under way, and how many start in a minute: one limit for all steps of a pipeline together."""

import asyncio
import time

from tasks.teacher.response_store import Record
from tasks.teacher.settings import Teacher

LOOK = 0.01
"""Seconds between two looks at a gate that the requests of other steps keep full."""


class Gate:
    """The limits of one server, counted in the record that all steps share. Made and used in one event loop."""

    def __init__(self, record: Record, settings: Teacher) -> None:
        self._record, self._settings = record, settings
        self._name = settings.url if settings.kind != "local" else str(settings.model)
        self._own = asyncio.Semaphore(settings.concurrency)

    async def __aenter__(self) -> None:
        """Wait for a place."""
        await self._own.acquire()
        while not self._record.enter(self._name, self._settings.concurrency):
            await asyncio.sleep(LOOK)

    async def __aexit__(self, *error: object) -> None:
        self._record.leave(self._name)
        self._own.release()

    async def turn(self) -> None:
        """Wait for the next start that the minute has room for; starts are spread evenly."""
        if limit := self._settings.requests_per_minute:
            now = time.monotonic()  # the same clock in all processes of a machine
            await asyncio.sleep(self._record.slot(self._name, now, 60 / limit) - now)
