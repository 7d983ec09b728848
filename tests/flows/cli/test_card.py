"""`temper check --card` takes cards as a shell gives them: in one word or in several, and what is none of them too."""

import pytest

from flows.cli.main import main
from flows.plan import estimate
from flows.system.process import Answer


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--card"], ("", "")),
        (["--card", "24GB"], ("24GB", "")),
        (["--card", "80GB x 8"], ("80GB x 8", "")),
        (["--card", "80GB", "x", "8", "x", "2", "--ram", "1TB"], ("80GB x 8 x 2", "1TB")),
        (["--ram", "1TB", "--card=80GB x 8"], ("80GB x 8", "1TB")),
        (["--card", "24GB", "--ram", "-3GB"], ("24GB", "-3GB")),
    ],
)
def test_words_of_a_shell(
    words: list[str],
    asked: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[tuple[str, ...]] = []

    def ask(*arguments: str) -> Answer:
        calls.append(arguments)
        return Answer(["train: fits"], [])

    monkeypatch.setattr(estimate, "ask", ask)
    assert main(["check", *words]) == 0
    assert calls == [("tasks.memory.card", *asked)]
    first, last = capsys.readouterr().out.splitlines()
    assert (first, last) == (
        "train: fits",
        "This is memory alone; without --card, temper check looks at data and settings.",
    )


def test_memory_of_a_host_without_cards_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--ram", "1TB"]) == 1
    assert capsys.readouterr().err.count("add it") == 1


def test_a_negative_size_is_refused_by_a_sentence_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--card", "-3GB"]) == 1
    assert "'-3GB' is not a valid size for the memory of a card" in capsys.readouterr().err
