"""A scripted server on loopback that speaks OpenAI's chat protocol over real HTTP: the test decides every answer."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    body: dict[str, Any]
    number: int
    """Requests that came before it."""
    path: str

    @property
    def text(self) -> str:
        """The last message, or the raw prompt."""
        return str(self.body["messages"][-1]["content"] if "messages" in self.body else self.body["prompt"])


@dataclass(frozen=True)
class Reply:
    """What goes back; by default a well-formed answer."""

    text: str | None = ""
    finish_reason: str = "stop"
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent as it is, instead of an answer."""
    close: bool = False
    """Whether the connection is closed without a word, or, with a body, in the middle of it."""
    drip: bool = False
    """Whether the answer comes a byte at a time, and stops before its end until the server does."""
    tokens: tuple[int, int] | None = (7, 5)
    """Tokens sent and answered, as the server counts them; None where it does not."""


Script = Callable[[Asked], "Reply | str | int | None"]
"""From a request to a reply: a text, None for an answer without content, or an HTTP status to fail with."""


class Server(ThreadingHTTPServer):
    """Keeps what it was asked, with the key of each request; `asked_once` is set at the first request."""

    daemon_threads = True

    def __init__(self, script: Script, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.script = script
        self.keys: list[str] = []
        self.asked: list[Asked] = []
        self.asked_once, self.stopping = threading.Event(), threading.Event()
        self.guard = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.guard:
            asked = Asked(body, len(self.server.asked), self.path)
            self.server.asked.append(asked)
            self.server.keys.append(self.headers.get("Authorization", ""))
        self.server.asked_once.set()
        reply = self.server.script(asked)
        if isinstance(reply, int):
            reply = Reply(status=reply, body=json.dumps({"error": {"message": f"scripted failure {reply}"}}).encode())
        elif not isinstance(reply, Reply):
            reply = Reply(reply)
        self.send(reply, answer(asked, reply) if reply.body is None else reply.body)

    def send(self, reply: Reply, content: bytes) -> None:
        if reply.close and reply.body is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + (100 if reply.close else 0)))
        self.end_headers()
        if reply.drip:
            self.wfile.write(content[:-1])
            self.server.stopping.wait(60)
        self.wfile.write(content)
        self.close_connection = reply.close or reply.drip

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def answer(asked: Asked, reply: Reply) -> bytes:
    """The JSON of an answer, for a chat or a raw text."""
    usage = dict(zip(("prompt_tokens", "completion_tokens"), reply.tokens, strict=True)) if reply.tokens else None
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.tool_calls:
        message["tool_calls"] = reply.tool_calls
    part: dict[str, Any] = {"message": message} if "messages" in asked.body else {"text": reply.text}
    choice = {"index": 0, "finish_reason": "tool_calls" if reply.tool_calls else reply.finish_reason, **part}
    whole = {"id": "1", "object": "chat.completion", "created": 0, "model": asked.body["model"], "choices": [choice]}
    return json.dumps({**whole, "usage": usage}).encode()


@contextmanager
def teacher_server(script: Script, port: int = 0) -> Iterator[Server]:
    """Run a server with `script` while the context lasts."""
    server = Server(script, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
