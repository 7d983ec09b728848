"""Links between the pages of a run, followed in a browser: as files, and as a server of the folder sends them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from flows.compare import page as pages
from flows.results import pages as run_pages
from tasks.core.paths import Paths
from tests import browser
from tests.flows.compare import made
from tests.tasks.report.test_predictions_page import project

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WITHOUT)

RUNS = ("brave-otter", "h\u00e9ron #2 50% of?")
"""Names of runs: one as Prefect draws it, and one that an address has to quote."""


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def server(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/report of a project with two runs: the page of each, that of predictions, and that of all runs."""
    from tasks.report import stage

    paths = Paths(tmp_path_factory.mktemp("linked"))
    project(paths)
    stage.run(stage.Settings(), paths)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(paths.root)
        patch.setattr(pages, "answers", lambda _: ({}, {}))
        patch.setattr(pages, "promotions", list)
        for name in RUNS:
            assert run_pages.write(Path(), name, "temper-1")
        runs = [made.run(number, right=4, name=name) for number, name in enumerate(RUNS, start=1)]
        Path("data/report/runs.html").write_text(pages.html(pages.page_data(runs)))
    return paths.report


@pytest.fixture(scope="module")
def tab(report: Path) -> Iterator[Any]:
    """A tab of the browser, with the report."""
    with browser.opened(report / "report.html") as page:
        yield page.tab


def links(tab: Any) -> set[str]:
    """What the page in the tab links, as it stands there, hidden parts included."""
    tab.wait_for_load_state()
    return set(tab.eval_on_selector_all("a[href]", "links => links.map((link) => link.getAttribute('href'))"))


@pytest.mark.parametrize("served", [False, True], ids=["files", "served"])
def test_every_link_leads_to_a_page_or_a_part_that_is_there(report: Path, tab: Any, served: bool) -> None:
    with server(report) as http:
        start = http if served else f"{report.resolve().as_uri()}/"
        waiting, followed = [f"{start}report.html", f"{start}runs.html"], set()
        while waiting:
            address = waiting.pop()
            if address in followed:
                continue
            followed.add(address)
            answer = tab.goto(address)  # raises where there is no such file
            assert answer is None or answer.ok, address
            if fragment := unquote(urlsplit(address).fragment):
                assert tab.evaluate("(id) => document.getElementById(id) !== null", fragment), address
            waiting += [urljoin(address, link) for link in links(tab) if urlsplit(link).scheme not in ("http", "https")]
        paths = {unquote(urlsplit(address).path.removeprefix(urlsplit(start).path)) for address in followed}
        assert all(address.startswith(start) for address in followed)
        assert paths >= {f"runs/{name}/{file}" for name in RUNS for file in ("report.html", "predictions.html")}
        assert {"report.html", "predictions.html", "runs.html"} <= paths
