"""The server: OpenAI's protocol over HTTP, and a page to talk by.

    /v1/models, /v1/chat/completions    for clients of OpenAI
    /health                             200 once the answers were found to be the evaluated ones
    /, /collected                       the page, and what a person marks on it

Requests of other web pages are refused (`tasks.serve.guard`); `/collected` wants the word that the page was opened
with.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from tasks.core.errors import TemperError
from tasks.serve.collected import Collector
from tasks.serve.engine import Engine, EngineError, Piece
from tasks.serve.fields import FieldReader, Stream
from tasks.serve.prompts import Prompt, Prompter, RequestError
from tasks.serve.remote import OWNER

PAGE = Path(__file__).with_name("page.html")

PATHS = "the API is POST /v1/chat/completions and GET /v1/models"

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
"""The page loads nothing, and talks to its own server only."""


@dataclass
class Voice:
    """A model that can be asked."""

    engine: Engine
    prompter: Prompter
    reader: FieldReader


@dataclass
class Service:
    """All that the server has."""

    voices: dict[str, Voice]
    collector: Collector
    system: str
    """System prompt of a request without one."""
    word: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """What the page proves itself with where something is written."""
    ready: bool = False


def build(service: Service) -> FastAPI:
    """The application, without the guard before it."""
    app = FastAPI(title="temper serve", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(RequestError)
    async def _refused(_: Request, error: RequestError) -> JSONResponse:
        return _error(str(error), error.status, error.param, error.code)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def _unknown(request: Request, error: Exception) -> JSONResponse:
        status = int(getattr(error, "status_code", 404))
        return _error(f"there is no {request.method} {request.url.path} here; {PATHS}", status)

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok" if service.ready else "checking"}, 200 if service.ready else 503)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [
            {"id": name, "object": "model", "created": 0, "owned_by": OWNER} for name in service.voices
        ]}  # fmt: skip

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(request: Request) -> JSONResponse | StreamingResponse:
        body = await _body(request)
        if "model" not in body and len(service.voices) > 1:
            raise RequestError(f"`model` is missing; available: {', '.join(service.voices)}", param="model")
        name = str(body.get("model", next(iter(service.voices))))
        if name not in service.voices:
            known = ", ".join(service.voices)
            raise RequestError(f"there is no model '{name}'; available: {known}", 404, "model", "model_not_found")
        voice = service.voices[name]
        prompt = voice.prompter.prompt(body)
        if body.get("stream"):
            return StreamingResponse(_stream(name, voice, prompt, body), media_type="text/event-stream")
        return await _whole(name, voice, prompt)

    @app.get("/")
    async def page() -> HTMLResponse:
        contexts = {name: voice.engine.context(name) for name, voice in service.voices.items()}
        known = {
            "project": Path.cwd().name, "models": [*service.voices], "contexts": contexts, "system": service.system,
        }  # fmt: skip
        facts = json.dumps(known).replace("<", "\\u003c")
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return HTMLResponse(PAGE.read_text(encoding="utf-8").replace('"FACTS"', facts, 1), headers=headers)

    @app.post("/collected")
    async def collected(request: Request) -> JSONResponse:
        if not secrets.compare_digest(request.headers.get("x-temper", "").encode(), service.word.encode()):
            raise RequestError(
                "open the page with the full address that `temper serve` printed: it ends in an access token", 403
            )
        try:
            return JSONResponse({"saved": service.collector.save(await _body(request))})
        except TemperError as error:
            raise RequestError(str(error)) from None

    return app


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, RecursionError):  # RecursionError: brackets in brackets, thousands deep
        raise RequestError("the request body is not JSON") from None
    if not isinstance(body, dict):
        raise RequestError("the request body is not a JSON object")
    return body


async def _whole(name: str, voice: Voice, prompt: Prompt) -> JSONResponse:
    stream, last = Stream(voice.reader, prompt), Piece()
    try:
        async with aclosing(voice.engine.stream(name, prompt.ask)) as pieces:  # type: ignore[type-var]
            async for last in pieces:
                stream.feed(last.text)
                if stream.stopped:
                    break
    except EngineError as error:
        return _error(str(error), 500)
    fields, key = stream.whole(), secrets.token_hex(8)
    message: dict[str, Any] = {"role": "assistant", "content": fields.content}
    if fields.reasoning:
        message["reasoning_content"] = fields.reasoning
    if fields.calls:
        message |= {"content": fields.content or None, "tool_calls": _calls(fields.calls, key)}
    choice = {"index": 0, "message": message, "finish_reason": _finish(stream, last, bool(fields.calls))}
    return JSONResponse({**_head(name, key, "chat.completion"), "choices": [choice], "usage": _usage(prompt, last)})


async def _stream(name: str, voice: Voice, prompt: Prompt, body: dict[str, Any]) -> AsyncIterator[str]:
    """The answer as server-sent events."""
    stream, key, last = Stream(voice.reader, prompt), secrets.token_hex(8), Piece()
    head = _head(name, key, "chat.completion.chunk")

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield event({"role": "assistant", "content": ""})
    try:
        async with aclosing(voice.engine.stream(name, prompt.ask)) as pieces:  # type: ignore[type-var]
            async for last in pieces:
                if new := stream.feed(last.text):
                    yield event(_delta(new.reasoning, new.content))
                if stream.stopped:
                    break
    except EngineError as error:
        yield _event({"error": {"message": str(error), "type": "server_error", "param": None, "code": None}})
        return
    rest = stream.end()
    if rest.reasoning or rest.content:
        yield event(_delta(rest.reasoning, rest.content))
    if rest.calls:
        calls = [{"index": number, **call} for number, call in enumerate(_calls(rest.calls, key))]
        yield event({"tool_calls": calls})
    yield event({}, _finish(stream, last, bool(rest.calls)))
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**head, "choices": [], "usage": _usage(prompt, last)})
    yield "data: [DONE]\n\n"


def _delta(reasoning: str, content: str) -> dict[str, str]:
    return {key: text for key, text in (("reasoning_content", reasoning), ("content", content)) if text}


def _finish(stream: Stream, last: Piece, calls: bool) -> str:
    return "tool_calls" if calls else "stop" if stream.stopped else last.finish or "stop"


def _calls(calls: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """With ids, which clients send back with the results."""
    return [{"id": f"call_{key}_{number}", "type": "function", "function": _as_text(call["function"])}
            for number, call in enumerate(calls)]  # fmt: skip


def _as_text(function: dict[str, Any]) -> dict[str, str]:
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"name": function["name"], "arguments": text}


def _head(name: str, key: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{key}", "object": kind, "created": int(time.time()), "model": name}


def _usage(prompt: Prompt, last: Piece) -> dict[str, int]:
    sent = len(prompt.ask.ids)
    return {"prompt_tokens": sent, "completion_tokens": last.tokens, "total_tokens": sent + last.tokens}


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _error(message: str, status: int, param: str | None = None, code: str | None = None) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)
