"""The page in a browser: two models answer one prompt side by side, and what is marked becomes rows."""

import json
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, FLAGS, Page
from tests.flows.results.test_page import PATIENCE
from tests.tasks.serve.serving import project, served

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium)"),
]


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
