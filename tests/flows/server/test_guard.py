"""Which requests a server that `temper ui` started answers: those of its own page and of programs with its password."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.sync.client as sockets
from websockets.exceptions import InvalidStatus

from flows.server import credentials
from tasks.serve.guard import Guard
from tests.browser import CHROMIUM, FLAGS, WITHOUT, admitted

ATTACK = """<!doctype html><pre id=o></pre><script>
const say = line => o.textContent += line + "\\n", json = {"content-type": "application/json"};
(async () => {
  for (const [what, headers, mode] of [["json", json, "cors"], ["text", {"content-type": "text/plain"}, "cors"],
                                       ["blind", {"content-type": "text/plain"}, "no-cors"]])
    await fetch("API/variables/", {method: "POST", mode, headers, body: JSON.stringify({name: "x_" + what, value: 1})})
      .then(r => say(`${what} ${r.type} ${r.status}`), () => say(`${what} refused`));
  await new Promise(end => { const s = new WebSocket("API/events/in".replace("http", "ws"));
    s.onopen = () => { say("socket open"); end(); }; s.onerror = () => { say("socket refused"); end(); }; });
  say("done");
})();
</script>"""


@contextmanager
def stranger(folder: Path, page: str) -> Iterator[str]:
    """The address of another server of this machine, with that page."""
    (folder / "index.html").write_text(page)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def page(
    status: int, *headers: tuple[str, str], method: str = "GET", path: str = "/api/flows", kind: str = "http"
) -> None:
    """Assert what becomes of a request to a server behind which everything is answered by 200."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": kind, "method": method, "path": path}
    scope["headers"] = [(name.lower().encode(), value.encode()) for name, value in headers]
    asyncio.run(Guard(app, ["https://temper.example"])(scope, receive, send))
    if kind == "websocket" and status != 200:
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": sent[0]["reason"]}]
    else:
        assert sent[0]["status"] == status, headers


def login(api: str) -> tuple[str, str]:
    name, _, password = credentials.known(api).partition(":")
    return name, password


LOCAL, PROXY = ("Host", "127.0.0.1:4200"), ("Host", "temper.example")
JSON, TEXT = ("Content-Type", "application/json; charset=utf-8"), ("Content-Type", "text/plain")


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_names_and_pages(kind: str) -> None:
    for host in ("127.0.0.1:4200", "localhost:9000", "[::1]:4200", "127.0.0.1", "temper.example"):
        page(200, ("Host", host), kind=kind)
    for host in ("evil.example:4200", "127.0.0.1.evil.example", "localhost.evil.example:4200", "0.0.0.0:4200", "", "[",
                 "127.0.0.1:4200@evil.example"):  # fmt: skip
        page(403, ("Host", host), kind=kind)
    page(403, kind=kind)
    page(403, LOCAL, ("Host", "evil.example"), kind=kind)
    page(200, LOCAL, ("Origin", "http://127.0.0.1:4200"), kind=kind)
    page(200, PROXY, ("Origin", "https://temper.example"), kind=kind)
    page(200, LOCAL, ("Origin", "https://temper.example"), kind=kind)  # a proxy that names the server by its address
    for origin in ("http://127.0.0.1:9998", "http://localhost:4200", "https://evil.example", "null", "", "file://"):
        page(403, LOCAL, ("Origin", origin), kind=kind)
    page(403, LOCAL, ("Origin", "http://127.0.0.1:4200"), ("Origin", "https://evil.example"), kind=kind)


def test_what_other_pages_may_send() -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        page(200, LOCAL, JSON, method=method)
        page(200, LOCAL, method=method)  # programs that send bytes name no type
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/json"):
            page(415, LOCAL, ("Content-Type", kind), method=method)
    site, navigate = ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")
    page(403, LOCAL, site, ("Sec-Fetch-Mode", "no-cors"))
    page(403, LOCAL, ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors"))
    page(403, LOCAL, site, navigate)
    page(403, LOCAL, site, navigate, method="POST", path="/")
    page(200, LOCAL, site, navigate, path="/runs")  # a link to the page
    page(200, LOCAL, ("Sec-Fetch-Site", "same-origin"))


def test_without_the_password_nothing_is_answered(api: str) -> None:
    right = login(api)
    assert credentials.known(api).startswith("temper:")
    assert httpx.post(f"{api}/flow_runs/filter", json={}).status_code == 401
    assert httpx.post(f"{api}/flow_runs/filter", json={}, auth=("temper", "guess")).status_code == 401
    assert httpx.post(f"{api}/flow_runs/filter", json={}, auth=right).status_code == 200
    assert httpx.get(f"{api}/health").json() is True
    stranger = {"Origin": "http://localhost:9998"}
    answer = httpx.post(f"{api}/flow_runs/filter", json={}, auth=right, headers=stranger)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert httpx.get(f"{api}/health", headers={"Host": "evil.example"}).status_code == 403
    assert (
        httpx.post(
            f"{api}/flow_runs/filter", content=b"{}", auth=right, headers={"Content-Type": "text/plain"}
        ).status_code
        == 415
    )
    assert httpx.get(api.removesuffix("/api")).headers["content-security-policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
def test_sockets_want_the_password_and_their_own_page(api: str, path: str) -> None:
    url = f"{api.replace('http', 'ws', 1)}/{path}"
    with pytest.raises(InvalidStatus):
        sockets.connect(url, subprotocols=["prefect"], origin="http://localhost:9998")  # type: ignore[arg-type,list-item]
    with sockets.connect(url, subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"type": "auth", "token": "guess"}))
        with pytest.raises(Exception, match="1008"):
            while json.loads(socket.recv(timeout=30)).get("type") != "auth_success":
                pass


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_a_page_of_a_stranger_in_the_browser_gets_nowhere(api: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    right = login(api)
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium:
        tab = admitted(chromium.new_page(), api)  # it is logged in
        tab.goto(f"{api.removesuffix('/api')}/runs")
        tab.get_by_text("Work Pools").first.wait_for()
        with stranger(tmp_path, ATTACK.replace("API", api)) as address:
            tab.goto(address)
            tab.get_by_text("done").wait_for()
            lines = tab.locator("#o").inner_text().split()
    assert lines == ["json", "refused", "text", "refused", "blind", "opaque", "0", "socket", "refused", "done"]
    answer = httpx.post(f"{api}/variables/filter", json={}, auth=right).json()
    assert not [variable for variable in answer if variable["name"].startswith("x_")]
