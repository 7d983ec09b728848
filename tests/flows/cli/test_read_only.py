"""A project that its user can read and not write: what only reads works, and all else is refused in one sentence."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import serve
from flows.cli.main import main
from tests.disk import read_only
from tests.flows.project import Toy

LINES = {
    "promote": ["promote"],
    "run": ["run"],
    "export": ["export", "ollama"],
    "reproduce": ["reproduce", "HEAD"],
    "check": ["check"],
    "data": ["data", "add", "data/seed"],
    "config": ["config", "reset"],
    "start": ["start"],
}
"""Commands that write."""


@pytest.fixture
def protected(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """A finished toy, entered anew, and a folder for temporary files."""
    with (toy.path / "dvc.yaml").open("a") as pipeline:
        pipeline.write("artifacts:\n  model: {path: data/merged, type: model}\n")
    toy.call("git", "commit", "--quiet", "--all", "--message", "a model")
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with read_only(toy.path):
        os.chdir(toy.path)
        yield toy
        assert not list(place.iterdir())
        os.chdir(tmp_path)


def test_what_only_reads_works(
    protected: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []

    def become(*line: str) -> int:
        words.append(line[0])
        return 0

    monkeypatch.setattr("tasks.serve.models.models", lambda *_: [])
    monkeypatch.setattr(serve, "_become", become)
    assert main(["plan"]) == 0
    assert capsys.readouterr().out.count("unchanged") == 12
    assert main(["compare"]) == 0
    output = capsys.readouterr().out
    assert "run" in output
    assert f"Page:  none, because you cannot write in {protected.path}" in output
    assert main(["history"]) == 0
    assert main(["chat"]) == 0
    assert main(["serve", "--port", "0"]) == 0
    assert words == ["chat", "serve"]
    assert not protected.call("git", "status", "--porcelain")


def test_all_else_is_refused_in_one_sentence(protected: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    for command, line in LINES.items():
        assert main(line) == 1
        output, errors = capsys.readouterr()
        assert errors.startswith(f"temper {command}: {protected.path}: you cannot write here")
        assert errors.count("\n") == 1
        assert not output
