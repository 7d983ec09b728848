"""A client with a cache: what is in the store is taken from there, and each response is in it before anyone sees it.

responses = ask_all(settings, ["Name a river."], store, "run", budget=Budget(), report=print)
"""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tasks.teacher.backends import create_backend, model_name
from tasks.teacher.budget import BudgetTracker
from tasks.teacher.client import Client
from tasks.teacher.errors import BudgetExceeded, RequestError
from tasks.teacher.nodes import Nodes
from tasks.teacher.rate_limiter import RateLimiter
from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import ResponseStore
from tasks.teacher.settings import Budget, Teacher


class CachedClient:
    """One teacher in one event loop. It is loaded, or connected to, when something is not on record."""

    def __init__(
        self,
        settings: Teacher,
        budget: Budget,
        store: ResponseStore,
        run: str,
        attempt: str,
        warn: Callable[[str], None],
        where: Nodes | None = None,
    ) -> None:
        """`run`: under which the responses are paid, in this `attempt`; `warn` hears of what has no answer.

        `where`: what computes the answers of a model folder; None: this process.
        """
        self._settings, self._store, self._run, self._attempt = settings, store, run, attempt
        self._warn, self._where = warn, where
        self._budget = BudgetTracker(store, run, budget, settings)
        self._model = model_name(settings)
        self._client: Client | None = None
        self._pending: dict[str, asyncio.Future[Response]] = {}

    def request(self, content: Any, sample: int = 0) -> Request:
        """`content` (messages; or a mapping, see `Request.of`) as it is put to this teacher."""
        return Request.of(self._settings, self._model, content, sample)

    async def answer(self, request: Request) -> Response:
        """The response on record, or asked now; equal requests that are in flight at once are asked once.

        A request that has no answer gives a response that says so in `failed`. Raises `FatalError` where no request
        will have one.
        """
        if (pending := self._pending.get(request.key)) is not None:
            return await pending
        future = self._pending[request.key] = asyncio.get_running_loop().create_future()
        try:
            response = self._store.get(request.key) or await self._send(request)
            if response.failed is None:
                self._store.record_use(self._run, self._attempt, request.key, self._budget.usage(response))
            elif response.output_tokens:  # paid for in vain, and again where it is asked again
                paid = f"{request.key} {self._attempt}"
                self._store.record_use(self._run, self._attempt, paid, self._budget.usage(response))
        except Exception as error:
            future.set_exception(error)  # those who wait for the same fail with this one
            future.exception()  # and where nobody waits, that is no fault
            raise
        except BaseException:
            future.cancel()
            raise
        finally:
            del self._pending[request.key]
        future.set_result(response)
        return response

    async def close(self) -> None:
        """Close the backend's connections, or free its memory."""
        if self._client is not None:
            await self._client.backend.close()
            self._client = None

    async def _send(self, request: Request) -> Response:
        if self._client is None:
            limiter = RateLimiter(self._store, self._settings)
            self._client = Client(create_backend(self._settings, self._where), self._settings, self._budget, limiter)
        try:
            response = await self._client.answer(request)
        except BudgetExceeded:
            return Response(failed="budget")
        except RequestError as error:
            self._warn(f"no answer: {error}")
            response = Response(failed=str(error))
        if response.failed is not None and response.output_tokens:
            self._warn(f"no answer: {response.failed}")
        self._store.put(request, response)
        return response


def ask_all(
    settings: Teacher,
    contents: list[Any],
    store: ResponseStore,
    run: str,
    *,
    budget: Budget,
    report: Callable[[int], None],
    where: Nodes | None = None,
) -> list[Response]:
    """The response to each of `contents` (see `CachedClient.request`), in order; `report` hears how many there are.

    `where`: see `CachedClient`.
    Raises `FatalError` where the teacher answers nothing more; what arrived is in `store`.
    """
    done = 0

    async def answer(client: CachedClient, request: Request) -> Response:
        nonlocal done
        response = await client.answer(request)
        done += 1
        report(done)
        return response

    async def answer_all() -> list[Response]:
        client = CachedClient(
            settings, budget, store, run, uuid4().hex, lambda message: print(message, flush=True), where
        )
        try:
            return await asyncio.gather(*(answer(client, client.request(chat)) for chat in contents))
        finally:
            await client.close()

    store.start_run(run)
    return asyncio.run(answer_all())
