"""In front of a server on loopback: requests of its own page and of programs pass, those of other pages do not.

A browser sends what any page asks for, to any address, with three marks that the page cannot change: `Host` is the name
under which it reached the server, `Origin` the page that asks, and a body without a preliminary request is never JSON.
"""

import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
"""Names of this machine that no other machine can take."""

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}

FRAMES = [(b"x-frame-options", b"DENY"), (b"content-security-policy", b"frame-ancestors 'none'")]
"""No page may show this one within itself, and have people click on what they do not see."""


class Guard:
    """An ASGI application before another one.

    `origins` (https://HOST) are those of proxies that stand before it, `names` others of this machine that it goes by.
    """

    def __init__(self, app: App, origins: Collection[str] = (), names: Collection[str] = ()) -> None:
        self._app = app
        self._names = LOOPBACK | {name.lower() for name in names}
        self._origins = {origin.strip().rstrip("/").lower() for origin in origins} - {"", "*"}
        self._hosts = {urlsplit(origin).hostname for origin in self._origins}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it: 403 or 415 for a request, closed before it opens for a socket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return

        async def send_unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *FRAMES]
            await send(message)

        status, fault = self._fault(scope)
        if not fault:
            await self._app(scope, receive, send_unframed)
        elif scope["type"] == "websocket":
            await receive()  # that it connects
            await send({"type": "websocket.close", "code": 1008, "reason": fault})
        else:
            error = {"message": fault, "type": "invalid_request_error", "param": None, "code": None}
            body = json.dumps({"detail": fault, "error": error}).encode()  # as Prefect's clients read it, and OpenAI's
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _fault(self, scope: Message) -> tuple[int, str]:
        """Status and reason of a refusal; 200 and "" for what may pass."""
        headers: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value.decode("latin-1").strip().lower())
        host = headers.get(b"host", [""])
        name = _hostname(f"//{host[0]}")
        if len(host) != 1 or (name not in self._names and name not in self._hosts):
            return (
                403,
                "this server does not answer to that host name",
            )  # DNS rebinding: a stranger's name for this machine
        for origin in headers.get(b"origin", []):
            # the page's own address, or a proxy's: with its port, since another port is another program
            if origin not in self._origins and origin.partition("://")[2] != host[0]:
                return 403, "requests from other pages are refused"
        elsewhere = headers.get(b"sec-fetch-site", [""])[0] in {"cross-site", "same-site"} and b"origin" not in headers
        link = headers.get(b"sec-fetch-mode") == ["navigate"] and scope.get("method") == "GET"
        if elsewhere and not (link and not scope["path"].startswith("/api")):  # a link to the page may be followed
            return 403, "requests from other pages are refused"
        if scope.get("method") in CHANGING:
            for kind in headers.get(b"content-type", []):
                if kind.partition(";")[0].strip() != "application/json":
                    return 415, "send the header Content-Type: application/json"
        return 200, ""


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
