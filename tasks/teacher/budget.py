"""The budget of a run, held by all its processes together: no request starts that could pass it."""

import asyncio

from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import Record, Spent
from tasks.teacher.settings import Budget, Teacher


class Purse:
    """What a run may still spend. A request holds what it may take at most, until what it took is known."""

    def __init__(self, record: Record, run: str, budget: Budget, settings: Teacher) -> None:
        """A run whose budget was used up in an earlier attempt has nothing to spend."""
        self._record, self._run, self._budget, self._settings = record, run, budget, settings
        self._limited = budget.max_tokens is not None or budget.max_cost is not None
        self._closed = record.is_closed(run)
        self._under_way = 0
        self._freed = asyncio.Event()

    async def take(self, request: Request) -> bool:
        """Hold what `request` may take; False where it is not there, even after those under way have given back."""
        while not self._closed:
            if not self._limited or self._record.spend(self._run, *self._most(request), self._budget):
                self._under_way += 1
                return True
            if not self._under_way:
                self._record.close_run(self._run)
                self._closed = True
                break
            self._freed.clear()
            await self._freed.wait()
        return False

    def give_back(self, request: Request) -> None:
        """Let go of what `request` held."""
        self._under_way -= 1
        if self._limited:
            tokens, cost = self._most(request)
            self._record.spend(self._run, -tokens, -cost)
        self._freed.set()

    def price(self, response: Response) -> Spent:
        """What a response took; what the server did not count is taken for nothing."""
        sent, answered = response.input_tokens or 0, response.output_tokens or 0
        cost = (sent * self._settings.input_price + answered * self._settings.output_price) / 1e6
        return Spent(sent, answered, cost)

    def _most(self, request: Request) -> tuple[int, float]:
        prices = self._settings.input_price, self._settings.output_price
        return request.weight, request.weight * max(prices) / 1e6
