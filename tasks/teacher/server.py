"""One request to a server that speaks OpenAI's chat protocol, and whatever it does instead of answering.

https://platform.openai.com/docs/api-reference/chat/create; `/completions` for raw texts.
"""

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tasks.teacher.errors import Passing, Stopped, Unanswered, Unreachable
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Teacher

LONGEST_WAIT = 300.0
"""Seconds that a server's `Retry-After` is heeded at most."""

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
"""This machine, which no proxy leads to."""

AT_FAULT = {400, 413, 414, 415, 422}
"""Statuses that blame the request: too long, not understood."""


class Server:
    """A session with a server. Made and used in one event loop."""

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
        """Send `request` once. Raises `Unanswered`, `Passing` or `Stopped`."""
        path = "completions" if request.is_text else "chat/completions"
        try:
            async with self._session.post(
                f"{self.settings.url}/{path}", json=request.body(), allow_redirects=False
            ) as reply:
                body = await reply.read()
                return self._read(reply, body)
        except TimeoutError:
            waited = self.settings.request_timeout
            raise Passing(f"no whole answer within {waited:g} seconds (request_timeout)") from None
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(
                self._clean(f"{self.settings.url} cannot be reached ({error.strerror or error})")
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Passing(self._clean(f"the connection broke: {type(error).__name__} {error}")) from None

    async def close(self) -> None:
        await self._session.close()

    def _read(self, reply: aiohttp.ClientResponse, body: bytes) -> Response:
        if reply.status == 200:
            try:
                said = json.loads(body)
                if b"\\ud" in body.lower() or b"\xed" in body:
                    # Half of a surrogate pair, with which a cut-off answer may end, is no text that can be stored.
                    said = json.loads(json.dumps(said, ensure_ascii=False).encode(errors="replace"))
                return _response(said)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                kind = reply.headers.get("Content-Type", "no content type")
                said = self._clean(body[:200].decode(errors="replace"))
                raise Passing(f"not an answer of OpenAI's protocol ({kind}; {error!r}): {said!r}") from None
        said = self._clean(_said(body))
        told = f"status {reply.status}: {said}"
        if reply.status in (401, 403):
            variable = self.settings.key_name
            which = f"the key in {variable}" if variable else "a request without a key (key_variable)"
            raise Stopped(f"{self.settings.url} refuses {which}: {told}", "input")
        if reply.status in (404, 405) or 300 <= reply.status < 400:
            raise Stopped(
                f"{self.settings.url} knows no {self.settings.model!r} or no such address; check the "
                f"teacher's model and base_url (most servers want /v1 at its end): {told}",
                "input",
            )
        if reply.status in AT_FAULT:
            raise Unanswered(told)
        if reply.status == 402 or b"insufficient_quota" in body:
            raise Stopped(f"{self.settings.url} wants to be paid first: {told}", "input")
        raise Passing(told, _wait(reply.headers.get("Retry-After")))

    def _clean(self, text: str) -> str:
        """One line without the key, as servers and libraries like to repeat it."""
        text = " ".join(text.split())[:300]
        return text.replace(self._key, "***") if self._key else text


def _response(body: Any) -> Response:
    choice, usage = body["choices"][0], body.get("usage") or {}
    said = choice.get("message", choice)
    text = said["content"] if "message" in choice else said["text"]
    if not isinstance(text, str | None):
        raise TypeError("the content is no text")
    calls = [{"type": "function", "function": dict(call["function"])} for call in said.get("tool_calls") or ()]
    if said.get("refusal") and not text:
        return Response(
            said["refusal"], "content_filter", (), usage.get("prompt_tokens"), usage.get("completion_tokens")
        )
    return Response(
        text or "",
        choice.get("finish_reason"),
        tuple(calls),
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
    )


def _said(body: bytes) -> str:
    """The server's own words about an error."""
    text = body[:2000].decode(errors="replace")
    try:
        told = json.loads(body)
        told = told.get("error", told.get("detail", told.get("message", told)))
        return str(told.get("message", told) if isinstance(told, dict) else told)
    except (ValueError, AttributeError):
        return text


def _wait(header: str | None) -> float | None:
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
    return min(max(seconds, 0.0), LONGEST_WAIT)
