"""The lines of `temper serve` and `temper chat`: what is started for each, and what is refused before."""

from pathlib import Path

import pytest

from flows.cli import serve
from flows.cli.main import main


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would have taken the place of this process."""
    words: list[tuple[str, ...]] = []
    monkeypatch.setattr("flows.plan.preflight.project", lambda: None)

    def become(*line: str) -> int:
        words.append(line)
        return 0

    monkeypatch.setattr(serve, "_become", become)
    return words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("serve", "serve --host 127.0.0.1 --port 8000 --rows 8"),
        (
            "serve base french --port 0 --rows 3 --anyway",
            "serve base french --host 127.0.0.1 --port 0 --rows 3 --anyway",
        ),
        ("serve --system=", "serve --host 127.0.0.1 --port 8000 --rows 8 --system="),
        ("serve --check http://x/v1 merged", "check http://x/v1 merged --rows 8"),
        (
            "serve --check http://x/v1 merged --model m --key-variable KEY",
            "check http://x/v1 merged --rows 8 --model=m --key-variable=KEY",
        ),
        ("chat", "chat --temperature 0.0"),
        ("chat merged base --temperature 0.7 --system Hi", "chat merged base --temperature 0.7 --system=Hi"),
        ("chat --page", "serve merged base --port 0"),
        ("chat adapter --page", "serve adapter --port 0"),
    ],
)
def test_what_is_started(started: list[tuple[str, ...]], line: str, words: str) -> None:
    assert main(line.split()) == 0
    assert started == [tuple(words.split())]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("serve --check http://x/v1", "name exactly one candidate, the one that is served there"),
        ("serve --check http://x/v1 a b", "name exactly one candidate, the one that is served there"),
        ("serve --model m", "--model and --key-variable need --check"),
    ],
)
def test_what_is_refused(
    started: list[tuple[str, ...]], line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 1
    assert sentence in capsys.readouterr().err
    assert not started


def test_outside_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("serve", "chat"):
        assert main([command]) == 1
        assert capsys.readouterr().err.startswith(f"temper {command}: no dvc.yaml and no params.yaml here")
