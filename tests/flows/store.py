"""An S3-compatible store on the loopback interface (moto's), which can be made to go away: `python store.py PORT GATE`.

While the file GATE exists, the store is away after as many written objects as the file says.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple


class Store:
    """Moto's application behind a door."""

    def __init__(self, gate: Path) -> None:
        self.gate = gate
        self.written = 0
        self.guard = threading.Lock()
        self.application: Any = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self.guard:
            away = self.gate.exists() and self.written >= int(self.gate.read_text())
            self.written += environment["REQUEST_METHOD"] == "PUT"
            if not self.gate.exists():
                self.written = 0
        if away:
            start("503 Service Unavailable", [])
            return []
        answer: Iterable[bytes] = self.application(environment, start)
        return answer


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), Store(Path(sys.argv[2])), threaded=True)
