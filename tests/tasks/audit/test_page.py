"""What docs/audit.md says of `temper audit` is what it does: the table of checks, and the example."""

import re
from pathlib import Path

import pytest

from tasks.audit.__main__ import main
from tasks.audit.reasons import table
from tests.tasks import tiny

PAGE = (Path(__file__).parents[3] / "docs/audit.md").read_text()


def test_the_table_has_every_check() -> None:
    assert table() in PAGE, "put what `python -m tasks.audit.reasons` prints into docs/audit.md"


def test_the_example_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    example = re.search(
        r"cat > rows\.jsonl <<'END'\n(.*?)END\ntemper audit (.*?)\n```\n\n```\n(.*?)```", PAGE, re.DOTALL
    )
    assert example
    rows, arguments, expected = example.groups()
    Path("rows.jsonl").write_text(rows)
    tiny.tokenizer().save_pretrained("data/base/model")
    assert main(arguments.split()) == 1
    printed = capsys.readouterr().out
    without_lengths = [
        [line for line in text.splitlines() if "tokens a row" not in line] for text in (printed, expected)
    ]
    assert without_lengths[0] == without_lengths[1]
