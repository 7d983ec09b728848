"""What a person sees in the browser: the page of the server that `temper ui` starts, in headless Chromium."""

import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks.server import ask
from tests.browser import CHROMIUM, FLAGS, WITHOUT, admitted
from tests.flows.project import STAGES, Toy, states, until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)

PATIENCE = 30_000.0
"""Milliseconds until something that does not appear counts as missing."""


@dataclass
class Browser:
    """A tab, the server it looks at, and one flow run there."""

    tab: Any
    page: str
    run: dict[str, Any]
    artifacts: dict[str, str]
    """Key -> id."""
    checkout: Path
    """The checkout that it ran in."""
    hosts: set[str] = field(default_factory=set)
    """Hosts that the page asked for anything."""

    def opened(self, tab: str = "") -> Any:
        """The flow run's page, with the tab of that title open."""
        address = f"{self.page}/runs/flow-run/{self.run['id']}"
        if not self.tab.url.startswith(address):
            self.tab.goto(address)
        if tab:
            self.tab.get_by_text(tab, exact=True).first.click()
        return self.tab

    def artifact(self, key: str) -> Any:
        self.tab.goto(f"{self.page}/artifacts/artifact/{self.artifacts[key]}")
        return self.tab


@pytest.fixture(scope="module")
def browser(finished: Path, api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A run in which `clean`, `train`, `merge` and `report` ran and everything else was cached, and its page."""
    from playwright.sync_api import sync_playwright

    checkout = tmp_path_factory.mktemp("page") / "toy"
    shutil.copytree(finished, checkout)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        Toy(checkout, api).flow(name="seen", force=["clean", "train", "merge", "report"])
    states("seen")
    run = ask(api, "flow_runs/filter", flow_runs={"name": {"any_": ["seen"]}})[0]
    artifact_rows = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
    ):
        tab = admitted(chromium.new_page(viewport={"width": 1280, "height": 900}), api)
        tab.set_default_timeout(PATIENCE)
        artifacts = {item["key"]: item["id"] for item in artifact_rows}
        browser = Browser(tab, api.removesuffix("/api"), run, artifacts, checkout)
        tab.on("request", lambda request: browser.hosts.add(urlsplit(request.url).hostname or ""))
        yield browser


def test_graph_shows_every_stage(browser: Browser) -> None:
    import matplotlib.image

    tab = browser.opened()
    tab.get_by_text(f"{len(STAGES)} Task runs").first.wait_for()
    graph = tab.locator("canvas").first
    graph.wait_for()

    def green() -> bool:
        """Nodes of finished tasks are drawn: pixels in which green clearly leads."""
        picture = matplotlib.image.imread(io.BytesIO(graph.screenshot()))
        red, lead, blue = (picture[:, :, channel] for channel in range(3))
        return bool(((lead > red + 0.3) & (lead > blue + 0.2)).sum() > 20 * len(STAGES))

    until(green)


def test_tasks_say_cached_or_completed(browser: Browser) -> None:
    tab = browser.opened("Task Runs")
    for stage, state in (("base", "Cached"), ("train", "Completed")):
        tab.locator(".task-run-list-item", has_text=re.compile(rf"\b{stage}\b")).get_by_text(
            state, exact=True
        ).wait_for()


def test_artifacts_are_listed(browser: Browser) -> None:
    tab = browser.opened("Artifacts")
    for key in ("run", "ledger", "comparison", "equivalence", "report"):
        tab.get_by_text(key, exact=True).first.wait_for()
    tab.get_by_text("Task runs", exact=True).last.scroll_into_view_if_needed()  # what is drawn while a stage works
    tab.get_by_text("loss", exact=True).first.wait_for()


def test_ledger_is_a_table(browser: Browser) -> None:
    tab = browser.artifact("ledger")
    for line in ("came in", "out: train", "left out: empty"):
        tab.locator("td", has_text=line).first.wait_for()


def test_loss_curve_is_a_picture(browser: Browser) -> None:
    picture = browser.artifact("loss").get_by_role("img", name="loss curve")
    picture.wait_for()
    until(lambda: picture.evaluate("image => image.complete && image.naturalWidth > 100"))


def test_comparison_is_a_table(browser: Browser) -> None:
    tab = browser.artifact("comparison")
    for candidate in ("base", "merged"):
        tab.locator("td", has_text=candidate).first.wait_for()


def test_equivalence_is_a_table(browser: Browser) -> None:
    tab = browser.artifact("equivalence")
    for text in ("merged", "nf4", "base with live adapter", "largest logit difference"):
        tab.get_by_text(text, exact=True).first.wait_for()


def test_model_card_is_shown_without_its_front_matter(browser: Browser) -> None:
    tab = browser.artifact("report")
    tab.get_by_text("A model of nothing.").first.wait_for()
    assert tab.get_by_text("license: apache-2.0").count() == 0


def test_run_says_how_each_stage_became_current_and_where_its_report_is_which_links_back(browser: Browser) -> None:
    tab = browser.artifact("run")
    for text in ("train", "ran", "unchanged"):
        tab.locator("td").get_by_text(text, exact=True).first.wait_for()
    page = f"data/report/runs/{browser.run['name']}/report.html"
    tab.get_by_text(page).first.wait_for()
    tab.goto((browser.checkout / page).as_uri())
    tab.get_by_role("link", name="flow run").click()
    tab.get_by_text(browser.run["name"]).first.wait_for()
    assert browser.run["id"] in tab.url


def test_page_asks_no_other_machine(browser: Browser) -> None:
    browser.tab.goto(browser.page)
    browser.tab.get_by_text("Dashboard").first.wait_for()
    assert browser.hosts <= {"127.0.0.1", ""}
