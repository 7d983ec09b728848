"""Every page of the stages is for everybody: contrast, names, keyboard, narrow screens, paper; nothing from outside."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tasks.look.__main__ import main as look
from tasks.pages.document import document, embedded
from tests import browser
from tests.browser import Page
from tests.tasks import tiny
from tests.tasks.report.test_predictions_page import EVIL, project

PAGES = ("report.html", "predictions.html", "look.html")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path]]:
    """A browser, and the folder with the pages."""
    from tasks.report import stage as report

    paths = Paths(tmp_path_factory.mktemp("pages"))
    project(paths)
    report.run(report.Settings(title=EVIL), paths)
    tokenizer = paths.root / "tokenizer"
    tiny.tokenizer().save_pretrained(tokenizer)
    rows = [{"text": f"{EVIL} {number}", "label": "odd" if number % 2 else "even"} for number in range(30)]
    data = paths.root / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert look([str(data), "--tokenizer", str(tokenizer), "--page", str(paths.report / "look.html")]) == 0
    with browser.opened(paths.report / "report.html") as page:
        yield page, paths.report


@pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WITHOUT)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(page: tuple[Page, Path], name: str) -> None:
    tab, folder = page[0].tab, page[1]
    page[0].events.clear()
    tab.goto((folder / name).resolve().as_uri())
    assert page[0].faults("light", 1280) == []
    assert page[0].faults("dark", 360) == []
    assert page[0].faults("light", 360) == []
    if name != "look.html":  # which has nothing to press
        tab.keyboard.press("Tab")
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page[0].on_paper() == browser.PAPER
    assert all(event.startswith("file:") for event in page[0].events), page[0].events
    assert tab.evaluate("document.querySelectorAll('main img').length") == 0


def test_data_cannot_leave_its_block_and_names_are_escaped() -> None:
    text = document(EVIL, "<main></main>", script="const a = 1;", data={"name": EVIL, "sign": "\u2028"})
    assert text.count("<script") == text.count("</script>") == 2 and "<img" not in text
    assert json.loads(embedded({"name": EVIL})) == {"name": EVIL}
    assert "script-src 'sha256-" in text and "default-src 'none'" in text
    assert "script-src" not in document("a", "")
