"""Asking with a record: what is on it is taken from there, and each response is on it before anyone sees it."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tasks.teacher.backends import model_of, voice
from tasks.teacher.budget import Purse
from tasks.teacher.client import Asker
from tasks.teacher.errors import OverBudget, Unanswered
from tasks.teacher.rate_limiter import Gate
from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import Record
from tasks.teacher.settings import Budget, Teacher


class Recorded:
    """One teacher in one event loop. It is loaded, or connected to, when something is not on record."""

    def __init__(
        self, settings: Teacher, budget: Budget, record: Record, run: str, attempt: str, complain: Callable[[str], None]
    ) -> None:
        """`run`: under which the responses are paid, in this `attempt`; `complain` hears of what has no answer."""
        self._settings, self._record, self._run, self._attempt = settings, record, run, attempt
        self._complain = complain
        self._purse = Purse(record, run, budget, settings)
        self._model = model_of(settings)
        self._asker: Asker | None = None
        self._waiting: dict[str, asyncio.Future[Response]] = {}

    def request(self, asked: Any, sample: int = 0) -> Request:
        """`asked` (messages; or a mapping, see `Request.of`) as it is put to this teacher."""
        return Request.of(self._settings, self._model, asked, sample)

    async def answer(self, request: Request) -> Response:
        """The response on record, or asked now; equal requests that are under way at once are asked once.

        A request that has no answer gives a response that says so in `failed`. Raises `Stopped` where no request will
        have one.
        """
        if (under_way := self._waiting.get(request.key)) is not None:
            return await under_way
        future = self._waiting[request.key] = asyncio.get_running_loop().create_future()
        try:
            response = self._record.get(request.key) or await self._asked(request)
            if response.failed is None:
                self._record.use(self._run, self._attempt, request.key, self._purse.price(response))
        except Exception as error:
            future.set_exception(error)  # those who wait for the same fail with this one
            future.exception()  # and where nobody waits, that is no fault
            raise
        except BaseException:
            future.cancel()
            raise
        finally:
            del self._waiting[request.key]
        future.set_result(response)
        return response

    async def close(self) -> None:
        """Let go of connections or memory."""
        if self._asker is not None:
            await self._asker.voice.close()
            self._asker = None

    async def _asked(self, request: Request) -> Response:
        if self._asker is None:
            gate = Gate(self._record, self._settings)
            self._asker = Asker(voice(self._settings), self._settings, self._purse, gate)
        try:
            response = await self._asker.answer(request)
        except OverBudget:
            return Response(failed="budget")
        except Unanswered as error:
            self._complain(f"no answer: {error}")
            response = Response(failed=str(error))
        self._record.put(request, response)
        return response


def ask_all(
    settings: Teacher, asked: list[Any], record: Record, run: str, *, budget: Budget, report: Callable[[int], None]
) -> list[Response]:
    """The response to each of `asked` (see `Recorded.request`), in their order; `report` is told how many there are.

    Raises `Stopped` where the teacher answers nothing more; what arrived is on `record`.
    """
    done = 0

    async def one(recorded: Recorded, request: Request) -> Response:
        nonlocal done
        response = await recorded.answer(request)
        done += 1
        report(done)
        return response

    async def every() -> list[Response]:
        recorded = Recorded(settings, budget, record, run, uuid4().hex, lambda said: print(said, flush=True))
        try:
            return await asyncio.gather(*(one(recorded, recorded.request(chat)) for chat in asked))
        finally:
            await recorded.close()

    record.begin(run)
    return asyncio.run(every())
