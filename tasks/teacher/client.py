"""Asking politely and persistently: so many at once, so many a minute, again later where it fails for now."""

import asyncio
from typing import Protocol

from tasks.teacher.budget import Purse
from tasks.teacher.errors import OverBudget, Passing, Stopped, Unanswered, Unreachable
from tasks.teacher.rate_limiter import Gate
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Teacher

FIRST_WAIT, MOST_WAIT = 0.5, 60.0
"""Seconds before a request is tried again: at first, doubled each time, and at most."""

FAILURES = 16
"""Requests given up in a row, or twice as many as are asked at once if that is more, after which the server counts as
gone."""


class Voice(Protocol):
    """Where answers come from."""

    @property
    def model(self) -> str:
        """The model, by a name that changes when its answers would."""

    async def ask(self, request: Request) -> Response:
        """Ask once."""

    async def close(self) -> None:
        """Let go of connections or memory."""


class Asker:
    """Asks a voice within the limits of its settings. Made and used in one event loop."""

    def __init__(self, voice: Voice, settings: Teacher, purse: Purse, gate: Gate) -> None:
        """`purse` pays for each request, `gate` lets it pass."""
        self.voice, self._settings, self._purse, self._gate = voice, settings, purse, gate
        self._failed = 0
        self._resume = 0.0
        self._stopped: Stopped | None = None

    async def answer(self, request: Request) -> Response:
        """The answer to `request`, after as many tries as the settings allow.

        Raises `Unanswered` where this request has none, `OverBudget` where it was not sent, and `Stopped` where no
        request will have an answer.
        """
        async with self._gate:
            if not await self._purse.take(request):
                raise OverBudget
            try:
                return await self._tried(request)
            finally:
                self._purse.give_back(request)

    async def _tried(self, request: Request) -> Response:
        for again in range(self._settings.max_retries, -1, -1):
            await self._turn()
            try:
                response = await self.voice.ask(request)
            except Stopped as error:
                self._stopped = error
                raise
            except Passing as error:
                if not again:
                    raise self._given_up(error) from None
                await self._pause(error, self._settings.max_retries - again)
            except Unanswered as error:
                raise self._given_up(error) from None
            else:
                self._failed = 0
                return response
        raise AssertionError("unreachable: the last try returns or raises")

    async def _turn(self) -> None:
        """Wait while the server wants to be left alone, and for this request's share of the minute."""
        loop = asyncio.get_running_loop()
        while (wait := self._resume - loop.time()) > 0:
            await asyncio.sleep(wait)
        await self._gate.turn()
        if self._stopped:
            raise self._stopped

    async def _pause(self, error: Passing, tries: int) -> None:
        if error.wait is None:
            await asyncio.sleep(min(FIRST_WAIT * 2**tries, MOST_WAIT))
        else:  # said to one, meant for all
            self._resume = max(self._resume, asyncio.get_running_loop().time() + error.wait)

    def _given_up(self, error: Unanswered) -> Exception:
        if self._stopped:
            return self._stopped
        self._failed += 1
        if isinstance(error, Unreachable) or self._failed >= max(FAILURES, 2 * self._settings.concurrency):
            first = "" if isinstance(error, Unreachable) else f"{self._failed} requests in a row failed; the last: "
            self._stopped = Stopped(f"{first}{error}", "machine")
            return self._stopped
        return error
