"""A teacher as a distilabel LLM that asks nothing twice: what is on record is taken from there."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from distilabel.models.llms.base import AsyncLLM
from pydantic import PrivateAttr

from tasks.contract.files import write_json
from tasks.generate.quality import fault
from tasks.generate.settings import Budget, Teacher
from tasks.generate.teacher.asking import Asker
from tasks.generate.teacher.errors import OverBudget, Stopped, Unanswered
from tasks.generate.teacher.gate import Gate
from tasks.generate.teacher.purse import Purse
from tasks.generate.teacher.record import RECORD, STOP, Record
from tasks.generate.teacher.request import Request, Response
from tasks.generate.teacher.voices import model_of, voice


class RecordedTeacher(AsyncLLM):  # type: ignore[misc]
    """Asks a server or a local model, and records each response before anyone sees it.

    Each output has, beside distilabel's own keys, `request`: the key under which its response is on record.
    """

    settings: Teacher
    budget: Budget
    work: str
    """The pipeline's folder."""
    run: str
    """Identity of the run: what its responses may cost is counted under it."""
    attempt: str
    """This attempt of the run."""

    _record: Record = PrivateAttr()
    _purse: Purse = PrivateAttr()
    _asker: Asker | None = PrivateAttr(None)
    _model: str = PrivateAttr("")
    _waiting: dict[str, "asyncio.Future[Response]"] = PrivateAttr(default_factory=dict)

    @property
    def model_name(self) -> str:
        return self.settings.name

    def load(self) -> None:
        """Open the record. The teacher itself is loaded when something is not on record."""
        super().load()
        self._record = Record(Path(self.work) / RECORD)
        self._purse = Purse(self._record, self.run, self.budget, self.settings)
        self._model = model_of(self.settings)

    def unload(self) -> None:
        if self._asker is not None:
            self.event_loop.run_until_complete(self._asker.voice.close())
            self._asker = None
        self._record.close()

    async def agenerate(self, input: Any, num_generations: int = 1) -> Any:
        """Answer one chat (messages; or a mapping, see `Request.of`) several times.

        Empty where there is none of use, so that no later step pays for a row that is lost.
        """
        requests = [Request.of(self.settings, self._model, input, sample) for sample in range(num_generations)]
        responses = await asyncio.gather(*(self._once(request) for request in requests))
        return {
            "generations": [self._useful(response) for response in responses],
            "statistics": {
                "input_tokens": [response.input_tokens or 0 for response in responses],
                "output_tokens": [response.output_tokens or 0 for response in responses],
            },
            "request": [request.key for request in requests],
        }

    def _useful(self, response: Response) -> str:
        return "" if fault(response, self.settings.max_new_tokens) else response.text

    def look_up(self, key: str) -> Response | None:
        """The response on record, for tasks that need more of it than its text."""
        return self._record.get(key)

    async def _once(self, request: Request) -> Response:
        """The answer on record, or asked now; requests that are equal and under way at once are asked once."""
        if (under_way := self._waiting.get(request.key)) is not None:
            return await under_way
        future = self._waiting[request.key] = asyncio.get_running_loop().create_future()
        try:
            response = await self._answered(request)
        except BaseException:
            future.cancel()  # a defect: those who wait for the same fail with this one
            raise
        finally:
            del self._waiting[request.key]
        future.set_result(response)
        return response

    async def _answered(self, request: Request) -> Response:
        try:
            response = self._record.get(request.key) or await self._asked(request)
        except (Stopped, OSError, sqlite3.Error) as error:
            kind = error.kind if isinstance(error, Stopped) else "machine"
            write_json(Path(self.work) / STOP, {"kind": kind, "said": str(error)})
            return Response(failed="stopped")
        if response.failed is None:
            self._record.use(self.run, self.attempt, request.key, self._purse.price(response))
        return response

    async def _asked(self, request: Request) -> Response:
        if self._asker is None:
            gate = Gate(self._record, self.settings)
            self._asker = Asker(voice(self.settings), self.settings, self._purse, gate)
        try:
            response = await self._asker.answer(request)
        except OverBudget:
            return Response(failed="budget")
        except Unanswered as error:
            self._logger.warning(f"WARNING no answer: {error}")
            response = Response(failed=str(error))
        self._record.put(request, response)
        return response
