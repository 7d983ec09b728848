"""Families go through the chain as docs/models.md says: the sample always, all of them in the tier `long`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.families.configurations import FAMILIES, SAMPLE
from tests.families.page import BITS, LIMITS, PAGE, page
from tests.flows.project import ROOT


def outcomes(folder: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """What came of each step, from a process that loads the libraries once for all families."""
    file = folder / "outcomes.jsonl"
    command = [sys.executable, "-m", "tests.families", *arguments, "--out", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    yield from map(json.loads, file.read_text().splitlines())


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """By family and step, what came of the short chain."""
    rows = outcomes(tmp_path_factory.mktemp("families"), "--short", *SAMPLE)
    return {(outcome["family"], outcome["step"]): outcome for outcome in rows}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", SAMPLE)
def test_a_family_is_tuned_and_merged(family: str, sample: dict[tuple[str, str], dict[str, Any]]) -> None:
    """The first loss is the base's own; what is merged is what was trained; no stored tensor is lost."""
    steps = {step: outcome for (name, step), outcome in sample.items() if name == family}
    assert {"lora: loss", "lora: merged"} <= steps.keys(), steps
    for step, outcome in steps.items():
        assert outcome["verdict"] == "works", (step, outcome["sentence"])
        assert outcome["facts"].get("right", True), (step, outcome["facts"])


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_through_the_whole_chain(family: str, tmp_path: Path) -> None:
    """Each step works and is right, or is refused in the words that the page gives."""
    for outcome in outcomes(tmp_path, family):
        limit = LIMITS.get((family, outcome["step"]))
        if limit:
            assert outcome["verdict"] == ("broken" if limit == BITS else "refused"), outcome
            assert limit in outcome["sentence"], outcome
        else:
            assert outcome["verdict"] == "works", outcome
            assert outcome["facts"].get("right", True), outcome


def test_the_page_says_what_is_tried() -> None:
    assert (ROOT / PAGE).read_text() == page()
