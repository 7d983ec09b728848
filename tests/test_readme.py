"""README.md is short, its links lead somewhere, and the numbers that it names are those of the registries."""

import re
from pathlib import Path

import pytest

from tasks.quantize.schemes import SCHEMES
from tasks.training.methods import METHODS
from tests.families.configurations import FAMILIES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("infra/*.md")])


def test_it_is_read_in_a_minute() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name} links {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_methods_are_those_whose_trial_worked() -> None:
    table = (ROOT / "docs/training-methods.md").read_text().partition("\n## Methods\n")[2].partition("\n## ")[0]
    working = re.findall(r"^\| (\w+) \| works", table, re.MULTILINE)
    assert set(working) <= set(METHODS)
    counted("methods", len(working))


def test_schemes_and_families_are_those_that_tests_go_through() -> None:
    counted("schemes", len(SCHEMES))
    counted("families", len(FAMILIES))


def counted(what: str, count: int) -> None:
    pages = README + (ROOT / "docs/stages.md").read_text()
    assert set(re.findall(rf"\[(\d+) {what}\]", pages)) == {str(count)}
