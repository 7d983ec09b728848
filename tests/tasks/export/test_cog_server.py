"""The folder for Cog under Cog's own server, where that is installed: pip install cog."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tasks.core.paths import Paths
from tasks.export.settings import Settings
from tasks.export.stage import run
from tests.tasks import tiny

pytestmark = pytest.mark.skipif(importlib.util.find_spec("cog") is None, reason="the package cog is not installed")


def asked(address: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(address, data, {"Content-Type": "application/json"})
    ) as response:
        value: dict[str, Any] = json.load(response)
    return value


def ready(address: str, server: subprocess.Popen[bytes]) -> bool:
    """Whether it ends its setup; it says so itself."""
    while server.poll() is None:
        try:
            if asked(f"{address}/health-check")["status"] == "READY":
                return True
        except urllib.error.URLError:
            pass
        time.sleep(0.2)
    return False


def test_cogs_server_asks_the_model(tmp_path: Path) -> None:
    from tests.tasks.evaluate.test_evaluate import by_hand

    project: Paths = tiny.project(tmp_path)
    tokenizer = tiny.tokenizer()
    tiny.model(project.merged, vocabulary=len(tokenizer))
    tokenizer.save_pretrained(project.merged)
    run(Settings(), project, "cog")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "COG_PREDICT_TYPE_STUB": "predict.py:Predictor"}
    command = [sys.executable, "-m", "cog.server.http", "--host", "127.0.0.1"]
    with subprocess.Popen(command, cwd=project.exported("cog"), env=environment) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            assert ready(address, server)
            answer = asked(f"{address}/predictions", {"input": {"prompt": "stop web", "max_new_tokens": 12}})
            prompt = "<|im_start|>user\nstop web<|im_end|>\n<|im_start|>assistant\n"
            assert answer["status"] == "succeeded"
            assert answer["output"] == by_hand(tiny.loaded(project.merged), tokenizer, prompt)
            drawn = asked(f"{address}/predictions", {"input": {"prompt": "stop web", "temperature": 1}})
            assert drawn["status"] == "succeeded", drawn
        finally:
            server.terminate()
