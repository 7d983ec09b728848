"""A Prefect server of one's own: a free port, a folder of its own, gone afterwards."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.checkout import HERE, Failed
from flows.server import credentials
from flows.server.connect import answers

PATIENCE = 300.0
"""Seconds until a server that does not answer counts as failed; it takes about 11 on 2 cores."""


class Server:
    """A server started by `temper ui`, that can be killed and started again with the same port and database."""

    def __init__(self, home: Path, **more: str) -> None:
        """`home` keeps its files; `more` comes into its environment."""
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self._environment = {**environment, "PREFECT_HOME": str(home), **more}
        self._log = home / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli.main", "ui", "--port", str(self.port)],
                cwd=HERE,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        _await(self._process, self.url, self._log)

    @property
    def pid(self) -> int | None:
        """The process, once started."""
        return self._process.pid if self._process else None

    def memory(self) -> int:
        """Resident bytes of it and its children."""
        if self._process is None:
            return 0
        family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        return sum(int(process.memory_info().rss) for process in family)

    def release(self) -> None:
        """Let it outlive this object; who knows its `pid` ends it."""
        if self._process:
            self._process.returncode = 0  # else the destructor of Popen warns that it still runs

    def kill(self) -> None:
        """End it without a warning."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def prefect_server(**more: str) -> Iterator[str]:
    """The address of the API of a server started by `temper ui`, with `more` in its environment."""
    with running(**more) as server:
        yield server.url


@contextmanager
def running(**more: str) -> Iterator[Server]:
    """A server that answers, in a folder of its own; gone afterwards."""
    with TemporaryDirectory(prefix="temper-prefect-", ignore_cleanup_errors=True) as home:
        server = Server(Path(home), **more)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def ask(url: str, path: str, **query: Any) -> Any:
    """POST `query` as JSON to a path of the API; return the answer. A server whose database is busy is asked again."""
    token = base64.b64encode(credentials.known(url).encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    request = urllib.request.Request(f"{url}/{path}", json.dumps(query).encode(), headers, method="POST")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=90) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise
        time.sleep(2)


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
