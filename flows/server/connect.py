"""Which Prefect server a run reports to, and the environment that keeps Prefect calm and at home."""

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

from flows.server import credentials, own
from flows.server.credentials import CLIENT, SERVER
from flows.server.prefect_private import LEASE_STORAGE
from tasks.core.errors import MachineError
from tasks.serve.listening import listen

PORT = 4200

ORIGINS = ("PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS")
"""Both names of the setting with the addresses (https://HOST) under which other pages may ask; Prefect's own: all."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the second UI asks amplitude.com for settings, analytics or not
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal has its own lines; logs go to the UI
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
    # until a queued run looks again, Prefect's own: 30. With 5, forty of them kept the server busy with nothing else
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "15",
    # who has slots of a concurrency limit: in memory, as Prefect has it, a restart would leave them taken for ever
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE,
    "PREFECT_CLIENT_MAX_RETRIES": "3",  # 14 s for a server that is gone, where Prefect would take a minute a call
    "DVC_NO_ANALYTICS": "1",
}
"""No telemetry, and Prefect's log in its UI instead of on the terminal; what the user set stays."""


def address(port: int = PORT) -> str:
    """The API of a server on this machine."""
    return f"http://127.0.0.1:{port}/api"


def answers(url: str, seconds: float = 2.0) -> bool:
    """Whether a Prefect server answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=seconds) as reply:
            return json.load(reply) is True
    except (OSError, ValueError):
        return False


def admitted(url: str) -> None:
    """Have this process send the credentials that the server at `url` wants, those of its own profile included.

    Raises `MachineError` where those that are set are not right, and where none are.
    """
    stored = "" if os.environ.get(CLIENT) else credentials.known(url)
    if stored and not _refuses(url, stored):
        os.environ[CLIENT] = stored
        return
    if _refuses(url, os.environ.get(CLIENT, "")):
        from prefect.settings import get_current_settings

        profile = get_current_settings().api.auth_string
        if profile is None or _refuses(url, profile.get_secret_value()):
            raise MachineError(
                f"the Prefect server at {url} denies access: set {CLIENT}=NAME:PASSWORD, which its owner can give you."
            )


def allowed_origins() -> list[str]:
    """The addresses of proxies that stand before a server started here, beside its own: none but what the user set."""
    return next((value.split(",") for name in ORIGINS if (value := os.environ.get(name))), [])


def _refuses(url: str, credentials: str) -> bool:
    request = urllib.request.Request(f"{url.rstrip('/')}/admin/version")
    if credentials:
        request.add_header("Authorization", f"Basic {base64.b64encode(credentials.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=10):
            return False
    except urllib.error.HTTPError as error:
        return error.code in {401, 403}
    except OSError:
        return False  # it is slow; whoever asks next will know more


def choose(tell: Callable[[str], None]) -> str:
    """Set the environment for Prefect (before its first import) and return the page to look at, "" for none.

    The server named by PREFECT_API_URL, or one on this machine; where none answers, one of its own starts for the
    length of the run: `wait` for it before anything is asked.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    named = os.environ.get("PREFECT_API_URL", "")
    url = named or address()
    if answers(url):
        if named or credentials.own_port(PORT):
            try:
                admitted(url)
            except MachineError:
                if named:
                    raise
            else:
                os.environ["PREFECT_API_URL"] = url
                page = url.removesuffix("/api")
                tell(f"This run reports to the Prefect server at {page}, which is running already.")
                return page
        tell(
            f"the server at {url} belongs to another user or has another password, so this run starts its own. To use "
            "that server, set PREFECT_API_URL."
        )
    elif named:
        tell(f"PREFECT_API_URL = {named} does not answer, so this run starts its own server.")
    os.environ[CLIENT] = os.environ[SERVER] = credentials.fresh()
    os.environ[ORIGINS[0]] = ""
    os.environ["PREFECT_API_URL"] = own.start()
    return ""


def wait() -> None:
    """Return when the server that `choose` has chosen answers; raises `MachineError` where it does not in time."""
    if own.temporary():
        own.wait(lambda: answers(os.environ["PREFECT_API_URL"]))


def serve(port: int) -> None:
    """Become a Prefect server on the loopback interface. Does not return."""
    page = f"http://127.0.0.1:{port}"
    if answers(f"{page}/api"):
        raise MachineError(f"a Prefect server is already running there: open {page}")
    listen("127.0.0.1", port).close()
    print(f"Prefect will be at {page} in some seconds; press Ctrl-C to stop.", flush=True)
    if port != PORT:
        print(f"For `temper run` to use it: export PREFECT_API_URL={page}/api", flush=True)
    os.environ.update(QUIET, PREFECT_API_URL=f"{page}/api", PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="WARNING")
    os.environ[ORIGINS[0]] = ",".join(allowed_origins())
    os.environ.setdefault("PREFECT_UI_API_URL", "/api")  # of whatever name the page was opened by
    if not os.environ.get(SERVER):
        os.environ[SERVER] = credentials.own()
        shown = os.environ[SERVER] if sys.stdout.isatty() else f"the line in {credentials.file()}"  # never in a log
        print(f"Its page asks for a password, once in each browser: {shown}", flush=True)
    os.environ[CLIENT] = os.environ[SERVER]  # for what the server's own processes ask of it
    command = ["-P", "-m", "flows.server.__main__", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *command])
