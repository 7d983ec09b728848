"""The budget of a run, held by all its processes together: no request starts that could pass it."""

import asyncio

from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import ResponseStore, ResponseUsage
from tasks.teacher.settings import Budget, Teacher


class BudgetTracker:
    """What a run may still spend. A request reserves the most that it may take, until what it took is known."""

    def __init__(self, store: ResponseStore, run: str, budget: Budget, settings: Teacher) -> None:
        """A run whose budget was used up in an earlier attempt (`closed`) has nothing to spend."""
        self._store, self._run, self._budget, self._settings = store, run, budget, settings
        self.limited = budget.max_tokens is not None or budget.max_cost is not None
        self.closed = store.is_closed(run)
        self._in_flight = 0
        self._released = asyncio.Event()

    async def reserve(self, request: Request) -> bool:
        """Reserve the most that `request` may take; False where that is more than what is left."""
        while not self.closed:
            if not self.limited or self._store.spend(self._run, *self._maximum(request), self._budget):
                self._in_flight += 1
                return True
            if not self._in_flight:
                self._store.close_run(self._run)
                self.closed = True
                break
            self._released.clear()
            await self._released.wait()
        return False

    def release(self, request: Request) -> None:
        """Release what `request` reserved."""
        self._in_flight -= 1
        if self.limited:
            tokens, cost = self._maximum(request)
            self._store.spend(self._run, -tokens, -cost)
        self._released.set()

    def usage(self, response: Response) -> ResponseUsage:
        """Tokens and cost of a response; what the server did not count is taken for nothing."""
        input_tokens, output_tokens = response.input_tokens or 0, response.output_tokens or 0
        cost = (input_tokens * self._settings.input_price + output_tokens * self._settings.output_price) / 1e6
        return ResponseUsage(input_tokens, output_tokens, cost)

    def _maximum(self, request: Request) -> tuple[int, float]:
        sent_at, answered_at = self._settings.input_price, self._settings.output_price
        if request.is_scored:  # known exactly
            sent, answered = request.scored_tokens
            return sent + answered, (sent * sent_at + answered * answered_at) / 1e6
        return request.token_estimate, request.token_estimate * max(sent_at, answered_at) / 1e6
