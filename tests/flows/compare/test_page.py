"""The page of all runs in a headless browser: sort, search, pin, flipped rows, charts; nothing of a run is HTML."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from flows.compare import page as pages
from flows.compare.answers import Packed
from flows.compare.production import Promotion
from tests import browser
from tests.browser import Page
from tests.flows.compare import made
from tests.flows.compare.made import EVIL

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WITHOUT)

RIGHT = {1: 2, 2: 6, 3: 8}
BASES = {1: "a/small", 2: "a/large", 3: "b/other"}


def data(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Three runs, the newest first: 8, 6 and 2 of ten rows right; the oldest has a name that would like to be HTML."""
    runs = []
    for number, right in sorted(RIGHT.items(), reverse=True):
        hostile = EVIL if number == 1 else ""
        base = {"base.hub": f"{BASES[number]}@{number:040x}", "train.method": hostile or "lora"}
        runs.append(made.run(number, right=right, name=hostile, **{"train.lora.r": 4**number, **base}))
    packed = Packed()
    rows = made.answers(0)
    by_commit = {
        run.commit: {
            candidate: packed.add(made.answers(right), rows, "exact_match")
            for candidate, right in (("base", 1 + at), ("merged", RIGHT[3 - at]))
        }
        for at, run in enumerate(runs)
    }
    del by_commit[runs[1].commit]["base"]
    first = Promotion("production", 1, runs[1].commit, "v0.0.1", False, "ann", "2026-02-01T10:00:00Z", "0.6", "good")
    second = replace(
        first, number=2, commit=runs[0].commit, version="v0.0.2", why=EVIL, replaced=first.commit, current=True
    )
    monkeypatch.setattr(pages, "answers", lambda _: (packed.as_json(), by_commit))
    monkeypatch.setattr(pages, "promotions", lambda: [second, first])
    return pages.page_data(runs)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    file = tmp_path_factory.mktemp("runs") / "runs.html"
    with pytest.MonkeyPatch.context() as patch:
        file.write_text(pages.html(data(patch)))
    with browser.opened(file) as page:
        yield page


def opened(page: Page) -> Any:
    tab = page.fresh()
    tab.wait_for_selector("body[data-ready]")
    return tab


def names(tab: Any) -> list[str]:
    texts: list[str] = tab.locator("#table tbody th > :first-child").all_inner_texts()
    return texts


def test_it_is_for_everybody_and_nothing_of_a_run_is_html(page: Page) -> None:
    tab = opened(page)
    for box in tab.locator(".pin").all()[:2]:
        box.check()
    assert page.faults("light", 1280) == []
    assert page.faults("dark", 360) == []
    assert page.on_paper(1047) == browser.PAPER
    assert EVIL in tab.inner_text("#table") and tab.title().startswith("Runs of ")
    assert tab.locator("main img").count() == 0
    assert all(event.startswith("file:") for event in page.events), page.events


def test_a_header_sorts_both_ways_and_then_as_it_was(page: Page) -> None:
    tab = opened(page)
    assert names(tab) == ["run-3", "run-2", EVIL]
    button = tab.locator("[data-key=training] button")
    orders = []
    for _ in range(3):
        button.click()
        orders.append((names(tab)[0], tab.get_attribute("[data-key=training]", "aria-sort")))
    assert orders == [(EVIL, "ascending"), ("run-3", "descending"), ("run-3", None)]
    tab.locator("[data-key=gain] button").press("Enter")
    assert names(tab) == ["run-3", "run-2", EVIL], "the largest gain first"


@pytest.mark.parametrize(
    ("words", "count"),
    [("r>4", 2), ("r>4 score<0.7", 1), ("train.lora.r=16", 1), ("method!=lora", 1), ("SMALL", 1), ("onerror", 1),
     ("score>=0.6", 2), ("r>x", 0), ("nothing", 0), ("refused", 1),
     ("promotion=allowed", 2), ("gain_over_base>0.4", 2), ("", 3)],
)  # fmt: skip
def test_the_search_takes_words_and_comparisons(page: Page, words: str, count: int) -> None:
    tab = opened(page)
    tab.fill("#search", words)
    assert len(names(tab)) == count
    assert tab.inner_text("#count") == f"{count} of 3 runs"


def test_two_pinned_runs_show_what_differs_and_the_rows_that_flipped(page: Page) -> None:
    tab = opened(page)
    tab.locator(".pin").nth(2).check()
    assert "Pin one more" in tab.inner_text("#pinned")
    tab.locator(".pin").nth(0).check()
    assert tab.inner_text("#flips") == ("10 rows: 6 wrong in the first and right in the second, 0 the other way round.")
    parameters = tab.locator("[aria-label='Parameters that differ'] tbody th").all_inner_texts()
    assert parameters == ["train.lora.r", "base.hub", "train.method"]
    assert "+0.6" in tab.inner_text("[aria-label=Scores]")
    tab.select_option("#kind", label="wrong, then right")
    ids = tab.eval_on_selector_all("#pinned article", "all => all.map(one => one.dataset.id)")
    assert ids == [f"row{number}" for number in range(2, 8)]
    tab.get_by_role("button", name="Swap").click()
    assert "0 wrong in the first and right in the second, 6 the other way round" in tab.inner_text("#flips")
    tab.locator(".pin").nth(1).check()
    assert tab.locator(".pin:checked").count() == 2, "a third takes the place of the older one"


def test_rows_of_any_candidate_that_both_have(page: Page) -> None:
    """Of the base, whose answers the run in the middle lacks: 1 and 3 of ten right, instead of 8 and 2."""
    tab = opened(page)
    for number in (2, 0):
        tab.locator(".pin").nth(number).check()
    assert tab.locator("#whose option").all_inner_texts() == ["merged", "base"]
    assert tab.inner_text("#flips").startswith("10 rows: 6 wrong in the first")
    tab.select_option("#whose", "base")
    assert tab.inner_text("#flips") == "10 rows: 0 wrong in the first and right in the second, 2 the other way round."
    assert tab.evaluate("document.activeElement.id") == "whose"
    tab.locator(".pin").nth(1).check()
    assert tab.locator("#whose option").all_inner_texts() == ["merged"]
    assert "--candidate NAME" in tab.inner_text("#pinned")


def test_columns_are_chosen_and_the_address_keeps_all(page: Page) -> None:
    tab = opened(page)
    columns = tab.locator("#columns")
    columns.locator("> summary").click()
    columns.get_by_label("base arc, acc").check()
    columns.get_by_label("gain over base").uncheck()
    heads = tab.locator("#table thead th").all_inner_texts()
    assert "base arc, acc" in heads and "gain over base" not in heads
    tab.fill("#search", "r>4")
    tab.reload()
    tab.wait_for_selector("body[data-ready]")
    assert len(names(tab)) == 2 and tab.locator("#table thead th").all_inner_texts() == heads


def test_charts_follow_the_search_and_pin(page: Page) -> None:
    tab = opened(page)
    assert tab.locator("#scatter circle").count() == 3 and tab.locator("#parallel path.run").count() == 3
    heights = tab.eval_on_selector_all("#scatter circle", "all => all.map(one => Number(one.getAttribute('cy')))")
    assert heights == sorted(heights), "8, 6 and 2 of ten: the best is highest"
    tab.locator("#scatter circle").first.click()
    assert tab.locator(".chosen").count() == 2 and tab.locator(".pin:checked").count() == 1
    tab.select_option("#across", label="promotion")
    tab.fill("#search", "r>4")
    tab.locator("#scatter circle").nth(2).wait_for(state="detached")


def test_intervals_and_parameters_are_in_view(page: Page) -> None:
    tab = opened(page)
    tab.set_viewport_size({"width": 1300, "height": 900})
    ends = tab.eval_on_selector_all(
        "#scatter .whisker", "all => all.map(one => one.getBBox()).map(box => [box.y, box.y + box.height])"
    )
    top, bottom = tab.eval_on_selector(
        "#scatter .grid[d*=V]", "one => [one.getBBox().y, one.getBBox().y + one.getBBox().height]"
    )
    assert len(ends) == 3 and all(top <= low and high <= bottom for low, high in ends)
    edge = tab.eval_on_selector(".tall", "one => one.getBoundingClientRect().right")
    for name in ("train.lora.r", "base.hub"):  # next would be a cell that a stranger made wide
        assert tab.eval_on_selector(f"th[data-key='{name}']", "one => one.getBoundingClientRect().right") <= edge


def test_a_stage_is_that_of_the_run_before_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit without a run may be promoted: its dvc.lock is that of the run."""
    runs = [made.run(number, right=5) for number in (2, 1)]
    later = Promotion("production", 1, "f" * 40, "v0.0.1", False, "ann", "2026-02-01T10:00:00Z", "", "", current=True)
    asked: list[tuple[str, ...]] = []

    def git(*words: str) -> str:
        asked.append(words)
        return runs[1].commit

    monkeypatch.setattr(pages, "git", git)
    monkeypatch.setattr(pages, "promotions", lambda: [later, replace(later, stage="test", commit=runs[0].commit)])
    data = pages.page_data(runs, rows=False)
    assert [run["stages"] for run in data["runs"]] == [["test v0.0.1"], ["production v0.0.1"]]
    assert asked == [("log", "-1", "--format=%H", "f" * 40, "--", "dvc.lock")]


def test_long_sentences_fold_and_bases_and_history_stand_there(page: Page) -> None:
    tab = opened(page)
    last = tab.locator("#table tbody tr").last
    assert "too little" not in last.inner_text()
    last.locator("summary", has_text="refused: gain over base").click()
    assert "too little" in last.inner_text()
    heads = tab.locator("#boards tbody th strong").all_inner_texts()
    assert heads == ["b/other", "a/large", "a/small"], "best first"
    cells = tab.locator("#boards tbody tr").first.inner_text()
    for part in ("base 0.1 0 \u2013 0.2", "tuned 0.8 0.7 \u2013 0.9", "3 min", "0.10"):
        assert part in cells
    assert "Now v0.0.2, run-3" in tab.inner_text("#promotions")
    assert "in the place of run-2" in tab.inner_text("#promotions li.current")
