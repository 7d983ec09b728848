"""A Prefect server of one's own: a free port, a folder of its own, gone afterwards."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.checkout import HERE, Failed
from flows.server import answers

PATIENCE = 120.0
"""Seconds until a server that does not answer counts as failed; it takes about 11 on 2 cores."""


@contextmanager
def prefect_server(**more: str) -> Iterator[str]:
    """The address of the API of a server started by `temper ui`, with `more` in its environment."""
    with TemporaryDirectory(prefix="temper-prefect-") as home:
        port = _free_port()
        url = f"http://127.0.0.1:{port}/api"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        with (Path(home) / "server.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.command", "ui", "--port", str(port)],
                cwd=HERE,
                env={**environment, "PREFECT_HOME": home, **more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                _await(process, url, Path(log.name))
                yield url
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def ask(url: str, path: str, **query: Any) -> Any:
    """POST `query` as JSON to a path of the API; return the answer."""
    request = urllib.request.Request(
        f"{url}/{path}", json.dumps(query).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def _await(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"the Prefect server did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
