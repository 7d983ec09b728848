"""Pictures of what a user sees, for README.md and docs: `python -m tests.screenshots [NAME ...]`; default: all.

report-light, report-dark   the report of the first run in docs/gallery
compare                     the page of `temper compare`, of runs that are made up
check                       `temper check` in a terminal
flow-run, flow-artifacts    the Prefect page of a run after a change of the learning rate (trains two small models)
"""

import argparse
import io
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.text import Text

from benchmarks import runs_page
from benchmarks.checkout import Checkout, checkout
from benchmarks.server import ask, prefect_server
from flows.params.model import change
from tests import gallery
from tests.browser import CHROMIUM, FLAGS, admitted
from tests.flows.project import ROOT

DOCS = ROOT / "docs"
PATIENCE = 60_000.0
"""Milliseconds until something that does not appear counts as missing."""

COLUMNS = 100


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium:
        yield chromium


def report(scheme: str) -> None:
    """The head of a report, in one colour scheme."""
    with browser() as chromium:
        tab = chromium.new_page(viewport={"width": 1100, "height": 1000}, color_scheme=scheme)
        tab.goto((gallery.FOLDER / "instructions/report.html").as_uri())
        tab.screenshot(path=DOCS / f"report-{scheme}.png")


def compare() -> None:
    """Runs side by side, sorted by score, two of them pinned."""
    with runs_page.written(60, 40) as file, browser() as chromium:
        tab = chromium.new_page(viewport={"width": 1400, "height": 1000})
        tab.goto(file.as_uri())
        tab.locator("[data-key=score] button").click()
        for box in tab.locator(".pin").all()[:2]:
            box.check()
        tab.screenshot(path=DOCS / "compare.png")


MISTAKES = (
    (("  method: lora ", "  method: lorra"), ["check"]),
    (("  method: lorra", "  method: lora "), ["check"]),
    (("  test_share: 0.0 ", "  test_share: 0.25"), ["check", "--card", "8GB"]),
)
"""What is written into params.yaml instead of what, and what is typed then."""

ACTS = ("stop", "start", "pause", "kill")
OWN = "".join(
    ["question,answer\n", *(f"How do I {act} web{at}?,docker {act} web{at}\n" for act, at in product(ACTS, range(10)))]
)


def check() -> None:
    """What `temper check` says of two mistakes in a project with rows of its own, and then of a card."""
    lines = []
    with checkout(full=True) as place:
        change(["generate.recipe=none", "clean.input=data/own"], path=place.root / "params.yaml")
        (place.root / "data/own").mkdir()
        (place.root / "data/own/support.csv").write_text(OWN)
        for (before, after), words in MISTAKES:
            params = (place.root / "params.yaml").read_text()
            assert before in params, before
            (place.root / "params.yaml").write_text(params.replace(before, after))
            lines += [
                Text.assemble(("$ ", "bold green"), (" ".join(["temper", *words]), "bold")),
                *written(place, words),
            ]
    terminal(lines, DOCS / "check.png")


def written(place: Checkout, words: Sequence[str]) -> list[Text]:
    """What `temper` writes in a checkout, whose folder stands as ~/mine."""
    done = subprocess.run(
        ["python", "-m", "flows.cli.main", *words],
        cwd=place.root, env={**place.environment, "PYTHONPATH": str(place.root), "COLUMNS": str(COLUMNS)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return [Text.from_ansi(done.stdout.rstrip().replace(str(place.root), "~/mine")), Text()]


def terminal(lines: Sequence[Text], out: Path) -> None:
    """Lines as a terminal shows them."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(line)
    svg = console.export_svg(title="temper", code_format=SVG)
    with TemporaryDirectory() as folder, browser() as chromium:
        file = Path(folder) / "terminal.svg"
        file.write_text(svg, encoding="utf-8")
        tab = chromium.new_page(viewport={"width": 1000, "height": 800})
        tab.goto(file.as_uri())
        tab.locator("svg").first.screenshot(path=out)


SVG = """<svg class="rich-terminal" width="{width}" height="{height}" viewBox="0 0 {width} {height}" \
xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", monospace; font-size: {char_height}px; \
line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own, without the font that it would fetch from another machine."""


def flow() -> None:
    """The page of a flow run in which a change of the learning rate reached the report, and its artifacts."""
    with prefect_server() as api, checkout(full=False, server=api) as place, browser() as chromium:
        place.temper("run")
        place.temper("run", "--set", "train.learning_rate=2e-3")
        run = ask(api, "flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]
        tab = admitted(chromium.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="dark"), api)
        tab.set_default_timeout(PATIENCE)
        tab.goto(f"{api.removesuffix('/api')}/runs/flow-run/{run['id']}")
        tab.get_by_text("Task runs").first.wait_for()
        tab.locator("canvas").first.wait_for()
        tab.wait_for_timeout(5000)  # the graph moves into its place
        tab.screenshot(path=DOCS / "flow-run.png")
        tab.get_by_text("Artifacts", exact=True).first.click()
        tab.get_by_text("comparison", exact=True).first.wait_for()
        tab.wait_for_timeout(1000)
        tab.screenshot(path=DOCS / "flow-artifacts.png")


PICTURES: dict[str, Callable[[], None]] = {
    "report-light": lambda: report("light"),
    "report-dark": lambda: report("dark"),
    "compare": compare,
    "check": check,
    "flow": flow,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and take the pictures that it names."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PICTURES)}; default: all")
    names = parser.parse_args(arguments).names or [*PICTURES]
    if strange := set(names) - set(PICTURES):
        parser.error(f"no such picture: {', '.join(sorted(strange))}; there are {', '.join(PICTURES)}")
    for name in names:
        PICTURES[name]()
        print(name, flush=True)


if __name__ == "__main__":
    main()
