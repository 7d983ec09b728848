"""One request to a server that speaks OpenAI's chat protocol, and whatever it does instead of answering.

https://platform.openai.com/docs/api-reference/chat/create; `/completions` for raw texts.
"""

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tasks.teacher.errors import (
    FatalError,
    NoLikelihoods,
    NotUnderstood,
    RequestError,
    TransientError,
    UnreachableError,
)
from tasks.teacher.parts import joined, parts
from tasks.teacher.reading import read_response
from tasks.teacher.request import Request, Response
from tasks.teacher.scores import read_scores, sent
from tasks.teacher.settings import Teacher

MAX_RETRY_AFTER = 300.0
"""Seconds that a server's `Retry-After` is heeded at most."""

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
"""This machine, which no proxy leads to."""

REQUEST_ERRORS = {400, 413, 414, 415, 422}
"""Statuses that blame the request: too long, not understood."""


class ServerBackend:
    """A session with a server. Make and use it in one event loop."""

    ahead = False

    def __init__(self, settings: Teacher, key: str | None) -> None:
        """`key` goes into the header of each request and nowhere else; messages of errors have it struck out."""
        self.settings, self._key = settings, key
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=settings.request_timeout),  # of the whole, so that no drip outlasts it
            connector=aiohttp.TCPConnector(limit=0),
            trust_env=urlsplit(settings.url).hostname not in LOOPBACK,  # a proxy, where the environment names one
        )

    @property
    def model(self) -> str:
        return str(self.settings.model)

    async def ask(self, request: Request) -> Response:
        """Send `request` once. Raises `RequestError`, `TransientError` or `FatalError`."""
        if request.is_scored:
            return joined([await self._score(part) for part in parts(request)])
        path = "completions" if request.is_text else "chat/completions"
        return await self._post(f"{self.settings.url}/{path}", request.body(), request)

    async def _score(self, part: Request) -> Response:
        """How likely tokens are; where nothing is told of one, it is looked up among all."""
        try:
            return await self._post(*sent(part, self.settings.url), part)
        except NoLikelihoods as error:
            if not part.by_prefix:
                raise
            try:
                return await self._post(*sent(part, self.settings.url, among_all=True), part)
            except TransientError:
                raise
            except RequestError:
                raise error from None

    async def _post(self, address: str, content: dict[str, Any], request: Request) -> Response:
        try:
            async with self._session.post(address, json=content, allow_redirects=False) as reply:
                body = await reply.read()
                return self._read(reply, body, request)
        except TimeoutError:
            waited = self.settings.request_timeout
            raise TransientError(f"no complete answer within {waited:g} seconds (request_timeout)") from None
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(
                self._clean(f"{self.settings.url} cannot be reached ({error.strerror or error})")
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(self._clean(f"the connection broke: {type(error).__name__} {error}")) from None

    async def close(self) -> None:
        await self._session.close()

    def _read(self, reply: aiohttp.ClientResponse, body: bytes, request: Request) -> Response:
        if reply.status == 200:
            try:
                payload = json.loads(body)
                if b"\\ud" in body.lower() or b"\xed" in body:
                    # Half of a surrogate pair, with which a cut-off answer may end, is no text that can be stored.
                    payload = json.loads(json.dumps(payload, ensure_ascii=False).encode(errors="replace"))
                return read_scores(payload, request) if request.is_scored else read_response(payload)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
                kind = reply.headers.get("Content-Type", "no content type")
                message = self._clean(body[:200].decode(errors="replace"))
                raise NotUnderstood(f"not an answer of OpenAI's protocol ({kind}; {error!r}): {message!r}") from None
        message = self._clean(_error_message(body))
        detail = f"status {reply.status}: {message}"
        if reply.status in (401, 403):
            variable = self.settings.key_name
            which = f"the key in {variable}" if variable else "a request without a key (key_variable)"
            raise FatalError(f"{self.settings.url} rejects {which}: {detail}", "input")
        if reply.status in (404, 405) or 300 <= reply.status < 400:
            raise FatalError(
                f"{self.settings.url} has no {self.settings.model!r}, or the URL is wrong; check the teacher's model "
                f"and base_url (which usually ends in /v1): {detail}",
                "input",
            )
        if reply.status in REQUEST_ERRORS:
            raise RequestError(detail)
        if reply.status == 402 or b"insufficient_quota" in body:
            raise FatalError(f"{self.settings.url} requires payment: {detail}", "input")
        raise TransientError(detail, _retry_after(reply.headers.get("Retry-After")))

    def _clean(self, text: str) -> str:
        """One line without the key, as servers and libraries like to repeat it."""
        text = " ".join(text.split())[:300]
        return text.replace(self._key, "***") if self._key else text


def _error_message(body: bytes) -> str:
    """The server's own words about an error."""
    text = body[:2000].decode(errors="replace")
    try:
        payload = json.loads(body)
        payload = payload.get("error", payload.get("detail", payload.get("message", payload)))
        return str(payload.get("message", payload) if isinstance(payload, dict) else payload)
    except (ValueError, AttributeError):
        return text


def _retry_after(header: str | None) -> float | None:
    """Seconds of a `Retry-After`: a number, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
