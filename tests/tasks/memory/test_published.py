"""docs/memory.md says of others' tables what the estimate says today."""

import re

import pytest

from benchmarks.published import HEAD, MODELS, ROWS, SOURCES, Row
from tests.tasks.generating import ROOT

PAGE = (ROOT / "docs" / "memory.md").read_text()
LINES = PAGE.partition(HEAD)[2].partition("\n\n")[0].strip().splitlines()
"""The rows of the table on the page."""

SAMPLE = [row for row in ROWS if (row.source, row.model, row.tokens) in {
    ("LLaMA-Factory", "Llama 2 7B", 1024), ("LLaMA-Factory, wiki", "Llama 2 7B", 8192),
} and (row.what, row.tokens) not in (
    ("full, bfloat16", 1024), ("QLoRA, 8 bits", 1024), ("QLoRA, 4 bits", 1024)
)]  # fmt: skip
"""Full tuning, LoRA and QLoRA, of a page and of what was measured."""


@pytest.mark.parametrize("row", SAMPLE, ids=lambda row: f"{row.what} {row.tokens}")
def test_the_page_says_what_the_estimate_says(row: Row) -> None:
    assert row.line() in LINES, "run python -m benchmarks.published, and put its table into docs/memory.md"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_all_of_the_table_is_what_the_estimate_says() -> None:
    assert [row.line() for row in ROWS] == LINES


def test_each_row_has_its_source_and_what_is_far_apart_its_reason() -> None:
    assert len(LINES) == len(ROWS)
    for line, row in zip(LINES, ROWS, strict=True):
        source, model, what, batch, published, estimated, difference, why = map(str.strip, line.strip("|").split("|"))
        assert (source, model, what, float(published)) == (row.source, row.model, row.what, row.published)
        assert source in SOURCES
        assert model in MODELS
        assert re.fullmatch(r"\d x [\d,]+", batch)
        share = int(difference.rstrip("%"))
        assert share == pytest.approx(100 * (float(estimated) / float(published) - 1), abs=1.5)
        assert bool(why) == (abs(share) > 20), f"{line}: a reason stands where the difference is over a fifth"
    for source, address in SOURCES.items():
        assert f"- **{source}**: {address}" in PAGE.replace("\n  ", " ")
