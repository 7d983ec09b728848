"""A client that limits what is in flight and what starts in a minute, and retries what fails for now."""

import asyncio
from typing import Protocol

from tasks.teacher.budget import BudgetTracker
from tasks.teacher.errors import BudgetExceeded, FatalError, RequestError, TransientError, UnreachableError
from tasks.teacher.rate_limiter import RateLimiter
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Teacher

FIRST_BACKOFF, MAX_BACKOFF = 0.5, 60.0
"""Seconds before a request is tried again: at first, doubled each time, and at most."""

MAX_FAILURES = 16
"""Requests given up in a row, or twice as many as are asked at once if that is more, after which the server counts as
gone."""


class Backend(Protocol):
    """Where answers come from."""

    ahead: bool
    """Whether several answers are computed at once, and one that nobody takes costs nothing but time: with a budget,
    they may be asked for before it is their turn."""

    @property
    def model(self) -> str:
        """The model, by a name that changes when its answers would."""

    async def ask(self, request: Request) -> Response:
        """Ask once."""

    async def close(self) -> None:
        """Close connections, or free memory."""


class Client:
    """Asks a backend within the limits of its settings. Make and use it in one event loop."""

    def __init__(self, backend: Backend, settings: Teacher, budget: BudgetTracker, limiter: RateLimiter) -> None:
        """`budget` pays for each request, `limiter` lets it pass."""
        self.backend, self._settings, self._budget, self._limiter = backend, settings, budget, limiter
        self._failures = 0
        self._resume_at = 0.0
        self._fatal: FatalError | None = None
        self._turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """The answer to `request`, after as many tries as the settings allow.

        Raises `RequestError` where this request has none, `BudgetExceeded` where it was not sent, and `FatalError`
        where no request will have an answer.
        """
        async with self._limiter:
            if self.backend.ahead and self._budget.limited:
                return await self._answer_ahead(request)
            if not await self._budget.reserve(request):
                raise BudgetExceeded
            try:
                return await self._retry(request)
            finally:
                self._budget.release(request)

    async def _answer_ahead(self, request: Request) -> Response:
        """Ask now, and pay in the order of the requests: the budget ends where it would if each waited for the last."""
        if self._budget.closed:
            raise BudgetExceeded
        answer = asyncio.ensure_future(self._retry(request))
        try:
            async with self._turn:
                if not await self._budget.reserve(request):
                    raise BudgetExceeded
                try:
                    return await answer
                finally:
                    self._budget.release(request)
        finally:
            answer.cancel()  # where it was not its turn any more
            answer.add_done_callback(lambda over: over.cancelled() or over.exception())  # nobody else asks for it

    async def _retry(self, request: Request) -> Response:
        for retries_left in range(self._settings.max_retries, -1, -1):
            await self._wait_for_turn()
            try:
                response = await self.backend.ask(request)
            except FatalError as error:
                self._fatal = error
                raise
            except TransientError as error:
                if not retries_left:
                    raise self._give_up(error) from None
                await self._pause(error, self._settings.max_retries - retries_left)
            except RequestError as error:
                raise self._give_up(error) from None
            else:
                self._failures = 0
                return response
        raise AssertionError("unreachable: the last try returns or raises")

    async def _wait_for_turn(self) -> None:
        """Wait while the server wants to be left alone, and for this request's share of the minute."""
        loop = asyncio.get_running_loop()
        while (wait := self._resume_at - loop.time()) > 0:
            await asyncio.sleep(wait)
        await self._limiter.wait()
        if self._fatal:
            raise self._fatal

    async def _pause(self, error: TransientError, tries: int) -> None:
        if error.wait is None:
            await asyncio.sleep(min(FIRST_BACKOFF * 2**tries, MAX_BACKOFF))
        else:  # one request hears it, and it is meant for all
            self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + error.wait)

    def _give_up(self, error: RequestError) -> Exception:
        if self._fatal:
            return self._fatal
        self._failures += 1
        if isinstance(error, UnreachableError) or self._failures >= max(MAX_FAILURES, 2 * self._settings.concurrency):
            first = (
                "" if isinstance(error, UnreachableError) else f"{self._failures} requests in a row failed; the last: "
            )
            self._fatal = FatalError(f"{first}{error}", "machine")
            return self._fatal
        return error
