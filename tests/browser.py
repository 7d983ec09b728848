"""Headless Chromium for pages: how it is started, and what any page has to be for everybody who reads it."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from flows.server import credentials

CHROMIUM = shutil.which("chromium")
WITHOUT = "no chromium on the PATH (Debian: apt-get install chromium)"

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

FAULTS = Path(__file__).with_name("page_faults.js").read_text()
"""A function that names what keeps somebody from reading the page."""

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
"""axe-core: it gives the window an `axe`. It is evaluated, since the pages' policy lets no script be added."""

SERIOUS = """async () => {
  const folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((part) => part.open = true);
  const {violations} = await axe.run(document, {resultTypes: ["violations"]});
  folded.forEach((part) => part.open = false);
  return violations.filter(({impact}) => ["serious", "critical"].includes(impact)).flatMap(({id, impact, nodes}) =>
    nodes.slice(0, 5).map(({target, failureSummary}) => `${impact} ${id} at ${target}: ${failureSummary}`));
}"""
"""A function that names what axe finds serious or critical, in folded parts too, five elements of each kind at most."""


PAPER = {"fits": True, "ground": "rgb(255, 255, 255)", "heads": True}
"""What `Page.on_paper` says of a page that fits."""


@dataclass
class Page:
    """A tab with one file, and what it said to the console or asked for."""

    tab: Any
    events: list[str] = field(default_factory=list)

    def fresh(self) -> Any:
        """The tab, as when it was opened first."""
        self.tab.goto(self.tab.url.partition("#")[0] + "#")
        self.tab.reload()
        return self.tab

    def faults(self, scheme: Literal["light", "dark"], width: int) -> list[str]:
        """What is wrong for readers with this colour scheme and width in pixels, by rules of ours and of axe."""
        self.tab.emulate_media(color_scheme=scheme)
        self.tab.set_viewport_size({"width": width, "height": 800})
        faults: list[str] = self.tab.evaluate(FAULTS)
        if not self.tab.evaluate("'axe' in window"):
            self.tab.evaluate(AXE)
        faults += self.tab.evaluate(SERIOUS)
        self.tab.emulate_media(color_scheme="light")
        self.tab.set_viewport_size({"width": 1280, "height": 900})
        return faults

    def on_paper(self, width: int = 718) -> dict[str, Any]:
        """Whether it fits on A4 (upright, 718 pixels within the margins); its ground; whether tables have heads."""
        self.tab.emulate_media(media="print", color_scheme="dark")
        self.tab.set_viewport_size({"width": width, "height": 1000})
        paper: dict[str, Any] = self.tab.evaluate(
            "({fits: document.documentElement.scrollWidth <= innerWidth, "
            "ground: getComputedStyle(document.body).backgroundColor, "
            "heads: [...document.querySelectorAll('thead button')].every(one => one.checkVisibility())})"
        )
        self.tab.emulate_media(media="screen", color_scheme="light")
        self.tab.set_viewport_size({"width": 1280, "height": 900})
        return paper


def admitted(tab: Any, api: str) -> Any:
    """The tab, in which the password of the server behind `api` was entered: Prefect's page keeps it so."""
    password = base64.b64encode(credentials.known(api).encode()).decode()
    tab.add_init_script(f"localStorage.setItem('prefect-password', '{password}')")
    return tab


@contextmanager
def opened(file: Path) -> Iterator[Page]:
    """The page in a browser of its own."""
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
    ):
        tab = chromium.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(30_000)
        page = Page(tab)
        tab.on("console", lambda message: page.events.append(message.text))
        tab.on("pageerror", lambda error: page.events.append(str(error)))
        tab.on("request", lambda request: page.events.append(request.url))
        tab.goto(file.resolve().as_uri())
        yield page
