"""`templates`: the audit of 98 public chat templates, against the tables in docs/chat-templates.md.

    python -m benchmarks.templates       writes the tables anew, between the two marks in that file

Each template is audited under the first of the tokenizers that knows every control token it names; where none does,
under one of bytes that is made to know them.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.checkout import HERE
from benchmarks.result import Result

GOAL = 0.0
"""Templates whose line in the docs is not what the audit says."""

DATA = HERE.parent / "shared" / "data"
PAGE = HERE / "docs" / "chat-templates.md"
MARKS = ("<!-- made by python -m benchmarks.templates -->\n", "<!-- end -->\n")
TOKENIZERS = ("llama-3.1", "mistral-v3", "phi-3")

SHORT = {
    "several turns": "several",
    "single turn": "single",
    "equal answers": "equal",
    "system prompt": "system",
    "tools, several turns": "tools, several",
    "thinking, several turns": "thinking, several",
    "thinking of its own": "own thinking",
    "thinking of its own, several turns": "own thinking, several",
    "odd spacing": "spacing",
    "other scripts": "scripts",
    "control tokens quoted": "quoted",
}
"""Heads of columns."""


def measure(full: bool) -> Result:
    """How many lines of the tables would change; there is one configuration."""
    if not DATA.is_dir():
        return Result("templates", None, "lines that differ", GOAL, False, {"templates": "not at hand"})
    there = set(PAGE.read_text().splitlines())
    lines = tables().splitlines()
    changed = [line for line in lines if line not in there]
    detail = {"lines": len(lines), "changed": changed[:20]}
    return Result("templates", len(changed), "lines that differ", GOAL, not changed, detail)


def tables() -> str:
    """A table a collection: templates as rows, dialogues as columns, the checks that fail in the cells."""
    lines = []
    for folder in sorted((DATA / "chat-templates").iterdir()):
        rows = [_row(file) for file in sorted(folder.glob("*.jinja"), key=lambda file: _natural(file.stem))]
        names = ["template", "tokenizer", "reasoning", *(SHORT.get(name, name) for name in rows[0][1])]
        lines += [f"## {folder.name}", "", f"| {' | '.join(names)} | all |", "|---" * (len(names) + 1) + "|"]
        lines += [
            f"| {first} | {' | '.join(map(_cell, failed.values()))} | {_cell(advice)} |"
            for first, failed, advice in rows
        ]
        lines.append("")
    return "\n".join(lines)


def _row(file: Path) -> tuple[str, dict[str, list[str]], list[str]]:
    """Template, tokenizer and where reasoning is written, the checks that fail by dialogue, and what holds for all."""
    from tasks.audit.template import audit
    from tasks.chat.special_tokens import CONTROL
    from tasks.template.settings import Settings

    wanted = set(CONTROL.findall(file.read_text()))
    name = next((name for name in TOKENIZERS if wanted and wanted <= _vocabulary(name)), None)
    _, failed, reported, kept = audit(Settings(), _loaded(name) if name else None, file)
    return f"{file.stem} | {name or 'bytes'} | {kept}", failed, [slug for slug in reported if slug != "no_pad"]


def _loaded(name: str) -> Any:
    from tasks.template.settings import Settings
    from tasks.template.tokenizer import read

    return read(DATA / "tokenizers" / name, Settings())


@cache
def _vocabulary(name: str) -> set[str]:
    tokenizer = json.loads((DATA / "tokenizers" / name / "tokenizer.json").read_text())
    return {*tokenizer["model"]["vocab"], *(token["content"] for token in tokenizer["added_tokens"])}


def _cell(slugs: list[str]) -> str:
    return ", ".join(slugs)


def _natural(name: str) -> list[tuple[int, str]]:
    """v2 before v11."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in name.replace("v", "v_").split("_")]


def main() -> None:
    """Write the tables into the page."""
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n{tables()}{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
