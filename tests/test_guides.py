"""The lessons and guides of docs/: what a reader types works, in the order of the pages; every command line is one."""

import json
import re
import shlex
import subprocess
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.checkout import Checkout, checkout
from flows.cli.main import _parser as parser
from tasks.audit.__main__ import parser as audit
from tasks.look.__main__ import parser as look
from tests.flows.project import ROOT
from tests.tasks.teacher_server import Asked, Reply, teacher_server
from tests.test_chain import installed, lock

BLOCK = re.compile(r"^```(sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""Blocks marked `sh` are run here; those marked `bash` need what the default has not, and are run by the tests of what
they show (tests/test_chain.py names them)."""

LESSONS = ("first-run", "your-data", "preferences", "documents", "production")
GUIDES = sorted(file.stem for file in (ROOT / "docs/guides").glob("*.md"))
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "infra/README.md"])
TEACHER = "http://127.0.0.1:8000/v1"
"""Where the lesson on documents expects a teacher."""


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of every call of temper in the blocks of a page."""
    for block in blocks(page, "sh", "bash"):
        text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block, flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
        for line in text.splitlines():
            for command in re.split(r"&&|\|\||;|\| ", line):
                words = shlex.split(command, comments=True)
                if words[:1] == ["temper"]:
                    yield words[1:]


def reader(words: list[str]) -> tuple[ArgumentParser, list[str]]:
    apart = {"audit": audit, "look": look}
    return (apart[words[0]](), words[1:]) if words[:1] and words[0] in apart else (parser(), words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_is_one(page: Path) -> None:
    for words in command_lines(page):
        if any(mark in word for word in words for mark in ("[", "...", "}")) and "--set" not in words:
            continue  # how a command is called, rather than a call
        command, arguments = reader(words)
        try:
            command.parse_args(arguments)
        except SystemExit as end:
            assert not end.code, f"{page.name}: temper {' '.join(words)}"


def test_there_are_lessons_and_guides_with_something_to_run() -> None:
    assert {file.stem for file in (ROOT / "docs/tutorial").glob("*.md")} == {*LESSONS}
    for page in [*(ROOT / "docs/tutorial").glob("*.md"), *(ROOT / "docs/guides").glob("*.md")]:
        assert blocks(page, "sh"), page


def teacher(asked: Asked) -> Reply:
    """A question on each passage that no other has, whose answer is a quote."""
    words = asked.text.split("\nPassage:\n", 1)[1].split()
    quote, after = " ".join(words[:6]), " ".join(words[6:16])
    return Reply(json.dumps([{"question": f"{after}: what stands before it?", "answer": quote, "quote": quote}]))


@pytest.fixture(scope="module")
def place(api: str) -> Iterator[Checkout]:
    """A checkout with the small configuration."""
    with checkout(full=False, server=api) as place:
        installed(place)
        place.run("git", "config", "user.name", "temper")
        place.run("git", "config", "user.email", "temper@localhost")
        place.run("git", "remote", "add", "origin", str(place.root))
        yield place


def follow(place: Checkout, page: Path) -> str:
    """Run the blocks of a page, each as one script; what they wrote."""
    output = []
    with teacher_server(teacher) as server:
        for block in blocks(page, "sh"):
            script = block.replace(TEACHER, server.base_url)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=place.root, env=place.environment,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{page.name}\n{block}\n{done.stdout}{done.stderr}"
            output.append(done.stdout + done.stderr)
    return "".join(output)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_lessons_one_after_the_other(place: Checkout) -> None:
    first, data, preferences, documents, production = (
        follow(place, ROOT / f"docs/tutorial/{lesson}.md") for lesson in LESSONS
    )
    assert "data/report/report.html" in first
    assert "40 rows read, 40 can be used." in data
    assert "12 rows of the shape preference" in preferences
    assert lock(place)["align"]
    assert "documents" in documents
    assert "Data and pipelines are up to date." in production


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide(place: Checkout, guide: str) -> None:
    """After the lessons, in whose project they are read; by itself the base is made first."""
    if not (place.root / "data/base/model").is_dir():
        place.run("temper", "run", "base")
    follow(place, ROOT / f"docs/guides/{guide}.md")
