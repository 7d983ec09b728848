"""The page in a browser: two models answer one prompt side by side, and what is marked becomes rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.paths import Paths
from tests.browser import CHROMIUM, FLAGS, WITHOUT, Page
from tests.flows.results.test_page import PATIENCE
from tests.tasks import tiny
from tests.tasks.serve.serving import Scripted, behind, project, served, service

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)

TOPS = "all => all.map(one => one.getBoundingClientRect().top)"

IN_VIEW = """one => {
  const {top, bottom} = one.getBoundingClientRect();
  return 0 <= top && bottom <= document.getElementById("form").getBoundingClientRect().top;
}"""
"""Whether an element is in the window, and not behind the form."""


def test_the_newest_question_is_in_view_and_faults_are_sentences(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    story = Scripted(*("Once upon a time.\n" for _ in range(120)), finish="length", room=9_000)
    talkers = service(tiny.tokenizer(), Paths(tmp_path), merged=Scripted("aisle 4", room=9_000), base=story)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
    ):
        tab = chromium.new_page()
        tab.set_default_timeout(PATIENCE)

        def asked(question: str) -> Any:
            """The question, and the answers below it once they are there."""
            tab.get_by_label("Your message").fill(question)
            tab.keyboard.press("Enter")
            tab.locator("#stop:disabled").wait_for()
            return tab.locator(".turn").filter(has_text=question).last

        with behind(talkers) as page:
            tab.goto(page)
            assert tab.get_by_role("heading").inner_text() == f"Talk to the models of {Path.cwd().name}"
            tops = tab.locator(".settings legend, .settings > label").evaluate_all(TOPS)
            assert len(tops) == 3 and max(tops) - min(tops) < 2, "labels stand on one line"
            for height in (900, 600):
                tab.set_viewport_size({"width": 1200, "height": height})
                tab.get_by_role("button", name="New dialogue").click()
                for number in range(2):
                    turn = asked(f"Where is mug {number}?")
                    question, answers = turn.locator(".question"), turn.locator(".text")
                    assert question.inner_text() == f"Where is mug {number}?"
                    assert question.evaluate(IN_VIEW) and answers.first.evaluate(IN_VIEW)
                    assert not answers.last.evaluate(IN_VIEW), "longer than the window, and read from its start"
            assert turn.locator(".cut:visible").all_inner_texts() == [
                "Cut at the 9,000 tokens of the model\u2019s context. \u201cNew dialogue\u201d starts over."
            ]
            tab.get_by_role("checkbox", name="base").uncheck()
            short = asked("And now?")
            assert short.get_by_role("button", name="Bad").evaluate(IN_VIEW)
            tab.evaluate("scrollTo(0, 0)")
            full = asked("why? " * 2_000).locator(".fault")
            assert full.inner_text().endswith("context is 9000. \u201cNew dialogue\u201d starts over.")
        gone = asked("Anybody there?").locator(".fault")
        assert gone.inner_text().startswith("The server does not answer. Run temper serve again")
        assert gone.evaluate(IN_VIEW)
        short.get_by_role("button", name="Good").click()
        short.get_by_text("The server does not answer").wait_for()


@pytest.mark.long
def test_side_by_side_and_marked(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    paths = project(tmp_path)
    with (
        served(paths, "merged", "base", anyway=True) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
    ):
        tab, hosts, faults = chromium.new_page(), set[str](), list[str]()
        tab.set_default_timeout(PATIENCE)
        tab.on("request", lambda request: hosts.add(request.url.partition("?")[0].partition("#")[0]))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(server.page)
        tab.keyboard.type("stop <b>web</b>")  # the field has the focus
        tab.keyboard.press("Enter")
        merged, base = (tab.get_by_role("region", name=f"Answer of {name}") for name in ("merged", "base"))
        merged.get_by_role("button", name="Better").click()
        merged.get_by_text("Saved: ").wait_for()
        base.get_by_role("button", name="Bad").press("Enter")
        base.get_by_text("kto.jsonl").wait_for()
        (pair,) = map(json.loads, (paths.collected / "pairs.jsonl").read_text().splitlines())
        assert pair["prompt"] == [{"role": "user", "content": "stop <b>web</b>"}]
        assert pair["chosen"][0]["content"].strip() == merged.locator(".text").inner_text().strip()
        assert pair["rejected"][0]["content"].strip() == base.locator(".text").inner_text().strip()
        assert tab.locator(".question").first.inner_text() == "stop <b>web</b>"
        tab.set_viewport_size({"width": 900, "height": 700})
        tab.locator("#question").fill("stop all")
        tab.keyboard.press("Enter")
        tab.locator(".turn").nth(1).wait_for()
        tab.locator("#stop:disabled").wait_for()
        question, newest = tab.locator(".question").last.bounding_box(), base.last.bounding_box()
        bar = tab.locator("form").bounding_box()
        assert question and newest and bar
        assert 0 <= question["y"] < newest["y"] < bar["y"] - 40, "the newest question and its answers are in sight"
        tab.set_viewport_size({"width": 360, "height": 740})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        light = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        tab.emulate_media(color_scheme="dark")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != light
        assert Page(tab).faults("dark", 360) == Page(tab).faults("light", 1280) == []
        tab.goto("about:blank")
        tab.goto(server.page.partition("#")[0])
        tab.get_by_text("Answers cannot be saved").wait_for()
        assert {url.removeprefix(server.url.removesuffix("v1")) for url in hosts} == {
            "", "v1/chat/completions", "collected",
        }  # fmt: skip
        assert not faults
