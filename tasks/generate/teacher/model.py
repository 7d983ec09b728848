"""A teacher as a distilabel LLM that asks nothing twice: what is in the store is taken from there."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from distilabel.models.llms.base import AsyncLLM
from pydantic import PrivateAttr

from tasks.core.files import write_json
from tasks.generate.quality import rejection_reason
from tasks.teacher.cached_client import CachedClient
from tasks.teacher.errors import FatalError
from tasks.teacher.nodes import Nodes
from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import DATABASE, STOP, ResponseStore
from tasks.teacher.settings import Budget, Teacher


class CachedTeacher(AsyncLLM):  # type: ignore[misc]
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
    address: str = ""
    """The head of a cluster whose nodes compute the answers of a model folder; "": this process does."""
    root: str = ""
    """The project's folder, where there is a cluster."""

    _store: ResponseStore = PrivateAttr()
    _client: CachedClient = PrivateAttr()

    @property
    def model_name(self) -> str:
        return self.settings.name

    def load(self) -> None:
        """Open the record. The teacher itself is loaded when something is not on record."""
        super().load()
        self._store = ResponseStore(Path(self.work) / DATABASE)
        self._client = CachedClient(
            self.settings,
            self.budget,
            self._store,
            self.run,
            self.attempt,
            lambda message: self._logger.warning(f"WARNING {message}"),
            Nodes(self.address, Path(self.root)) if self.address else None,
        )

    def unload(self) -> None:
        self.event_loop.run_until_complete(self._client.close())
        self._store.close()

    async def agenerate(self, input: Any, num_generations: int = 1) -> Any:
        """Answer one chat (messages; or a mapping, see `Request.of`) several times.

        Empty where there is none of use, so that no later step pays for a row that is lost.
        """
        requests = [self._client.request(input, sample) for sample in range(num_generations)]
        responses = await asyncio.gather(*(self._answer(request) for request in requests))
        return {
            "generations": [self._useful(response) for response in responses],
            "statistics": {
                "input_tokens": [response.input_tokens or 0 for response in responses],
                "output_tokens": [response.output_tokens or 0 for response in responses],
            },
            "request": [request.key for request in requests],
        }

    def _useful(self, response: Response) -> str:
        return "" if rejection_reason(response, self.settings.max_new_tokens) else response.text

    def look_up(self, key: str) -> Response | None:
        """The response on record, for tasks that need more of it than its text."""
        return self._store.get(key)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._client.answer(request)
        except (FatalError, OSError, sqlite3.Error) as error:
            kind = error.kind if isinstance(error, FatalError) else "machine"
            write_json(Path(self.work) / STOP, {"kind": kind, "message": str(error)})
            return Response(failed="stopped")
