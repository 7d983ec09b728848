"""The pages of the reference are those that the code makes today, and leave nothing out."""

from pathlib import Path

import pytest

from tasks.quantize.schemes import SCHEMES
from tests import reference
from tests.flows.project import ROOT

LINES = [
    "    temper run [OPTION ...] [STAGE ...]",
    "    temper config undo",
    "    temper data add [OPTION ...] FILE ...",
    "    temper look [OPTION ...] DATA",
    "| `--card [SIZE ...]` |",
    "| `--max-length N` |",
]
"""Of commands and arguments of every kind: several words, none, a choice of how many."""


@pytest.mark.parametrize("page", list(reference.PAGES), ids=str)
def test_the_page_is_what_the_code_makes(page: Path) -> None:
    assert (ROOT / page).read_text() == reference.PAGES[page](), "run python -m tests.reference"


def test_every_command_with_its_arguments_is_there() -> None:
    lines = (ROOT / "docs/commands.md").read_text().splitlines()
    for line in LINES:
        assert any(each.startswith(line) for each in lines), line


def test_registries_and_artifacts_are_there() -> None:
    text = (ROOT / "docs/registries.md").read_text()
    assert all(f"| `{name}` |" in text for name in (*SCHEMES, "lora", "dpo", "exact_match", "pattern", "merge"))
    assert {key for key, _ in reference.artifacts()} >= {"run", "comparison", "ledger", "report", "sweep"}
    assert "| `temper.data.changed` |" in text
