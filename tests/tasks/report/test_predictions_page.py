"""The page of predictions in a headless browser: filters, order, candidates side by side; nothing from data runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.core.files import write_json
from tasks.core.paths import Paths
from tests import browser
from tests.browser import Page
from tests.tasks import tiny

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WITHOUT)

ROWS = 120
RIGHT = {"base": 10, "base_system": 10, "base_few_shot": 20, "adapter": 100, "merged": 100, "nf4": 98}
EVIL = "</script><script>document.title='run'</script><img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of 120 rows, 20 of them wrong, and what it said to the console or asked of the network."""
    from tasks.report import stage as report

    paths = Paths(tmp_path_factory.mktemp("predictions"))
    project(paths)
    report.run(report.Settings(title=EVIL), paths)
    with browser.opened(paths.predictions) as page:
        yield page


def project(paths: Paths) -> None:
    tiny.ledgers(paths)
    write_json(
        paths.base / "base.json",
        {"kind": "trained", "location": "model", "revision": None, "files": {}, "sha256": "ab" * 32},
    )
    same = {"max_logit_difference": 0.0, "kl_per_token": 0.0, "same_greedy_token": 1.0, "probes": 4, "tokens": 80}
    merge = {"method": "lora", "parameters": 9, "arithmetic": "float32", "dtype": "float32", "tolerance": 0.001}
    write_json(paths.merged / "merge.json", {**merge, **same})
    for candidate, right in RIGHT.items():
        scored = {
            "exact_match": [float(number < right) for number in range(ROWS)],
            "f1": [1.0 if number < right else number / 1000 for number in range(ROWS)],
        }
        texts = ["right" if number < right else f"{candidate} {number} {EVIL}" for number in range(ROWS)]
        tiny.evaluation(paths, candidate, scored, texts)
    tiny.judged(paths, "merged")
    tiny.decided(paths, quantised_loss=None)


def opened(page: Page, **choices: str) -> Any:
    """The page, fresh, after choosing in its lists."""
    tab = page.tab
    tab.reload()
    for key, label in choices.items():
        tab.select_option(f"#{key}", label=label)
    return tab


def ids(tab: Any) -> list[str]:
    values: list[str] = tab.eval_on_selector_all("article", "all => all.map(one => one.dataset.id)")
    return values


def test_worst_rows_stand_first_and_more_follow(page: Page) -> None:
    tab = opened(page)
    assert ids(tab)[:3] == ["row100", "row101", "row102"]
    assert tab.inner_text("#count") == "120 of 120 rows"
    assert len(ids(tab)) == 50
    tab.click("#more")
    tab.click("#more")
    assert len(ids(tab)) == 120 and not tab.is_visible("#more")


def test_two_candidates_side_by_side(page: Page) -> None:
    tab = opened(page, first="nf4", second="tuned (merged)", show="answers differ", order="most lost first")
    # wrong in both from row 100 on, each in its own words; in rows 98 and 99 nf4 alone is wrong
    assert ids(tab)[:2] == ["row98", "row99"]
    assert tab.inner_text("#count") == "22 of 120 rows"
    names = tab.locator("article").first.locator("th").all_inner_texts()
    assert names == ["reference", "nf4", "tuned (merged)"]
    assert opened(page, first="nf4", second="tuned (merged)", show="first scores lower").inner_text("#count") == (
        "2 of 120 rows"
    )
    assert opened(page, first="nf4", second="tuned (merged)", show="first scores higher").inner_text("#count") == (
        "0 of 120 rows"
    )


def test_slices_search_and_metric(page: Page) -> None:
    tab = opened(page, show="first is not fully right", slice="new phrasing", length="short")
    shown = [int(row.removeprefix("row")) for row in ids(tab)]
    assert shown == [number for number in range(100, 120) if number % 2 == 0 and number // 4 % 2 == 0]
    tab = opened(page)
    tab.fill("#search", "MERGED 117")
    assert ids(tab) == ["row117"]
    tab = opened(page, metric="f1", order="worst first")
    assert ids(tab)[:2] == ["row100", "row101"]
    assert "f1 0.1" in tab.locator("article").first.inner_text()


def test_all_candidates_of_a_row(page: Page) -> None:
    tab = opened(page)
    row = tab.locator("article").first
    row.locator("summary").click()
    assert len(row.locator("details th").all_inner_texts()) == len(RIGHT)
    assert row.locator("mark").count() > 0


def test_what_a_judge_said_stands_with_the_answer(page: Page) -> None:
    """Two wins, a loss, a verdict that turns with the order, and none: the first five rows."""
    values = {
        label: ids(opened(page, show=label))
        for label in ("first is judged better", "first is judged worse", "verdict turns with the order")
    }
    assert list(values.values()) == [["row0", "row1"], ["row2"], ["row3"]]
    tab = opened(page, show="verdict turns with the order", second="nf4")
    verdict = tab.locator(".judged")
    assert verdict.count() == 1, "nf4 was not judged"
    assert verdict.inner_text().startswith("judged by big: level with base, as its verdict turns with the order")
    verdict.locator("summary").click()
    assert verdict.locator("pre").all_inner_texts() == [f"{tiny.EVIL} first win", "second loss"]
    tab = opened(page, show="no clear verdict")
    assert ids(tab) == ["row4"]
    assert "judged by big: no clear verdict" in tab.locator("article").inner_text()


def test_nothing_of_the_data_runs_and_nothing_is_fetched(page: Page) -> None:
    tab = opened(page)
    assert EVIL in tab.locator("article").first.inner_text()
    assert tab.title().startswith("Predictions")
    assert tab.locator("article img").count() == 0
    assert all(text.startswith("file:") for text in page.events), page.events


def test_it_fits_a_narrow_screen(page: Page) -> None:
    tab = opened(page)
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.set_viewport_size({"width": 1280, "height": 900})


def test_few_rows_are_said_to_be_few(tmp_path: Path) -> None:
    from tasks.report import stage as report

    paths = Paths(tmp_path)
    project(paths)
    report.run(report.Settings(predictions=7), paths)
    text = (paths.report / "predictions.html").read_text()
    assert "7 of 120 held-out rows, the worst ones" in text
    assert "row106" in text and "row107" not in text
