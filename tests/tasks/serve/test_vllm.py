"""vLLM as it is started and asked; a stand-in that speaks its protocol takes its place, as no card is here."""

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest

from tasks.core.errors import ModelError
from tasks.serve.by_vllm import Vllm, command
from tasks.serve.engine import Ask, EngineError, Piece
from tasks.serve.models import Model

STAND_IN = """#!{python}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
words = sys.argv[1:]
if "broken" in words[1]:
    sys.exit(3)
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        right = self.headers["Authorization"] == "Bearer " + os.environ["VLLM_API_KEY"]
        self.send_response(200 if right and body["model"] in ("base", "french") else 404); self.end_headers()
        for text, finish in (("a" * len(body["prompt"]), None), (body["model"], "stop")):
            choice = {{"text": text, "finish_reason": finish, "index": 0}}
            chunk = {{"choices": [choice], "usage": {{"completion_tokens": 2}}}}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\\n\\n")
        self.wfile.write(b"data: [DONE]\\n\\n")
HTTPServer(("127.0.0.1", int(words[words.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    base, tokenizer, french = (tmp_path / name for name in ("base", "tokenizer", "french"))
    for folder in (base, tokenizer, french):
        folder.mkdir()
    (base / "config.json").write_text(json.dumps({"max_position_embeddings": 77}))
    (french / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]}))
    return [Model("base", (base, tokenizer)), Model("french", (base, french, tokenizer))]


def test_how_it_is_started(models: list[Model], tmp_path: Path) -> None:
    words = command(models, 7000)
    assert words[1:] == [
        "serve", f"{tmp_path}/base", "--served-model-name", "base", "--tokenizer", f"{tmp_path}/tokenizer",
        "--generation-config", f"{tmp_path}/tokenizer", "--host", "127.0.0.1", "--port", "7000",
        "--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"french={tmp_path}/french",
    ]  # fmt: skip
    assert "--enable-lora" not in command(models[:1], 7000)


def test_it_is_asked_with_ids_and_ended(models: list[Model]) -> None:
    engine = Vllm(models)

    async def asked(name: str) -> list[Piece]:
        return [piece async for piece in engine.stream(name, Ask([1, 2, 3], 9))]

    try:
        assert engine.context("base") == 77
        assert asyncio.run(asked("french")) == [Piece("aaa", 2), Piece("french", 2, "stop")]
        assert asyncio.run(asked("base"))[-1].text == "base"
        engine._key = "another"
        with pytest.raises(EngineError, match="vLLM: "):
            asyncio.run(asked("base"))
    finally:
        asyncio.run(engine.close())
    assert engine._process.returncode is not None
    with pytest.raises(EngineError, match="vLLM no longer answers"):
        asyncio.run(asked("base"))


def test_one_that_does_not_start(models: list[Model], tmp_path: Path) -> None:
    broken = (tmp_path / "base").rename(tmp_path / "broken")
    with pytest.raises(ModelError, match="vLLM ended with exit code 3 before it was ready"):
        Vllm([Model("base", (broken, tmp_path / "tokenizer"))])
