"""The grammar in data/seed, its draws, and the pretraining text: what is held out stays held out."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.dedup.similarity import NEAR_DUPLICATE, jaccard, words
from tasks.generate.program import Grammar, Request, answer, load, pretraining_lines, splits
from tasks.generate.program.distance import most_words

SEED = Path(__file__).parents[3] / "data" / "seed"
ROWS = {"rows": 3000, "validation_rows": 100, "test_rows": 240, "seed": 0}


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return load(SEED)


@pytest.fixture(scope="module")
def drawn(grammar: Grammar) -> dict[str, list[Request]]:
    return splits(grammar, **ROWS)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return pretraining_lines(SEED, 20_000, 0)


@pytest.fixture(scope="module")
def answered(grammar: Grammar, lines: list[str]) -> dict[str, str | None]:
    """Each line that is no pair, and the command that it asks for, if it does."""
    return {line: answer(grammar, line) for line in {*lines} if " = " not in line}


def edited(tmp_path: Path, file: str, old: str, new: str) -> Path:
    """A copy of the seed with one text replaced in one of its files."""
    folder = tmp_path / "seed"
    shutil.copytree(SEED, folder)
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))
    return folder


def test_splits_have_the_rows_asked_for_and_the_same_for_the_same_seed(
    grammar: Grammar, drawn: dict[str, list[Request]]
) -> None:
    counts = {name: len(requests) for name, requests in drawn.items()}
    assert counts == {"train": 3000, "validation": 100, "new_combination": 120, "new_phrasing": 120}
    assert splits(grammar, **ROWS) == drawn
    assert splits(grammar, **{**ROWS, "seed": 1}) != drawn
    everything = [request.request for requests in drawn.values() for request in requests]
    assert len(set(everything)) == len(everything)


def test_test_commands_are_in_no_training_row_and_not_twice_in_the_test(
    grammar: Grammar, drawn: dict[str, list[Request]]
) -> None:
    tests = drawn["new_combination"] + drawn["new_phrasing"]
    commands = {request.command for request in tests}
    assert len(commands) == len(tests)
    assert commands.isdisjoint(request.command for request in drawn["train"] + drawn["validation"])
    assert all(grammar.held_out(command) for command in commands)


def test_the_slices_are_what_they_are_called(grammar: Grammar, drawn: dict[str, list[Request]]) -> None:
    assert {request.phrasing.split("/")[0] for request in drawn["new_phrasing"]} == {"held_out"}
    for name in ("train", "validation", "new_combination"):
        assert {request.phrasing.split("/")[0] for request in drawn[name]} == {"requests"}
    slotted = {intent.name for intent in grammar.intents if intent.slots}
    for name in ("new_combination", "new_phrasing"):
        assert len({request.intent for request in drawn[name]}) > 0.9 * len(slotted)


def test_every_part_of_a_test_row_occurs_in_training_apart(drawn: dict[str, list[Request]]) -> None:
    """Verbs, flags and names of the commands, and every word of the requests: only their combination is new."""
    known_values = {value for request in drawn["train"] for value in request.values}
    known_intents = {request.intent for request in drawn["train"]}
    known_words = {word for request in drawn["train"] for word in words(request.request)}
    for request in drawn["new_combination"] + drawn["new_phrasing"]:
        assert request.intent in known_intents
        assert known_values.issuperset(request.values)
        assert known_words.issuperset(words(request.request)), request.request


def test_no_training_or_pretraining_text_is_a_near_duplicate_of_a_test_request(
    drawn: dict[str, list[Request]], lines: list[str]
) -> None:
    tests = [frozenset(words(request.request)) for request in drawn["new_combination"] + drawn["new_phrasing"]]
    texts = {request.request for request in drawn["train"] + drawn["validation"]}
    texts |= {line.split(" = ")[0] for line in lines[:2000]}
    for bag in (frozenset(words(text)) for text in texts):
        assert all(len(bag & test) < 2 or jaccard(bag, test) < NEAR_DUPLICATE for test in tests)


def test_pretraining_text_is_the_same_for_the_same_seed(lines: list[str]) -> None:
    assert len(lines) == 20_000
    assert pretraining_lines(SEED, 500, 0) == pretraining_lines(SEED, 500, 0)
    assert pretraining_lines(SEED, 500, 0) != pretraining_lines(SEED, 500, 1)


def test_pretraining_text_holds_nothing_held_out_and_no_pair(
    grammar: Grammar, lines: list[str], answered: dict[str, str | None]
) -> None:
    values = {value for known in grammar.values.values() for value in known}
    for line in lines:
        first, *others = line.split(" = ")
        for other in others:  # a line says one thing again, or the names in it: never a request and its command
            assert other == first or set(other.split()) <= values, line
        if first.startswith("docker "):
            assert not grammar.held_out(first), line
        elif (command := answered[first] if first in answered else answer(grammar, first)) is not None:
            assert not grammar.held_out(command), line
    for before, after in pairwise(lines):
        assert answered.get(before) != after or after in grammar.plain


def test_pretraining_text_asks_for_everything_and_never_in_a_held_out_phrasing(
    grammar: Grammar, lines: list[str], answered: dict[str, str | None]
) -> None:
    seen_only = replace(grammar, intents=tuple(replace(intent, held_out=()) for intent in grammar.intents))
    requests = [line for line in lines if answered.get(line) is not None]
    assert len(requests) > 1500
    assert all(answer(seen_only, line) is not None for line in requests)
    commands = {line for line in lines if line.startswith("docker ")}
    for intent in grammar.intents:
        start = intent.command.split("{")[0]
        assert any(command.startswith(start) for command in commands), intent.name


def test_the_grammar_answers_its_own_requests(grammar: Grammar, drawn: dict[str, list[Request]]) -> None:
    for requests in drawn.values():
        for request in requests:
            assert answer(grammar, request.request) == request.command
    assert answer(grammar, "bake a cake for front3") is None
    assert answer(grammar, "stop front99") is None


def test_a_plain_command_is_never_held_out_and_about_one_in_eight_others_is(grammar: Grammar) -> None:
    assert grammar.plain == {"docker ps", "docker ps -a", "docker images", "docker network ls", "docker volume ls"}
    assert not any(grammar.held_out(command) for command in grammar.plain)
    commands = [f"docker stop {name}" for name in grammar.values["container"]]
    assert 0.04 < sum(map(grammar.held_out, commands)) / len(commands) < 0.25


def test_the_word_limit_follows_from_the_threshold() -> None:
    limit = most_words(NEAR_DUPLICATE)
    assert (limit - 1) / (limit + 1) < NEAR_DUPLICATE <= limit / (limit + 2)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("intents.yaml", "command: docker pause {container}", "command: docker pause {box}", r"pause.*'\{box\}'"),
        ("intents.yaml", "- hold {container}", "- hold it", "pause.*'hold it'"),
        ("intents.yaml", "- hold {container}", "- freeze {container}", "pause.*occurs twice"),
        ("intents.yaml", "- hold {container}", "- hold {container} for me and all of my good friends", "pause.*words"),
        ("intents.yaml", "- hold {container}", "- suspend everything in {container}", "pause.*occurs twice"),
        ("intents.yaml", "- hold {container}", "- unfreeze the container {container}", "nearly the same"),
        (
            "intents.yaml",
            "- hold {container}",
            "- put the container {container} on hold now",
            "pause.*held_out.*near-dup",
        ),
        (
            "slots.yaml",
            "setting: [fast, quiet, debug, north, south, blue, green, final]",
            "setting: 7",
            "setting.*list of values",
        ),
        ("slots.yaml", "setting: [fast, ", "setting: [fast, quiet, ", "setting.*'quiet' occurs twice"),
        ("slots.yaml", "setting: [fast, ", 'setting: ["f ast", ', "setting.*'f ast'"),
        ("assistant.yaml", "name: docker-assistant", "title: docker-assistant", "'name'"),
        ("assistant.yaml", "  title: Docker", "  titel: Docker", "card.titel: no such key; known: title, purpose"),
        (
            "assistant.yaml",
            "  title: Docker assistant",
            "  title: 7",
            "'card' must have a text for each of title, purpose",
        ),
    ],
)
def test_a_faulty_seed_is_an_error_that_names_file_and_key(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    folder = edited(tmp_path, file, old, new)
    with pytest.raises(InputError, match=rf"{file}.*{message}"):
        load(folder)


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        load(tmp_path / "nowhere")
    folder = tmp_path / "seed"
    shutil.copytree(SEED, folder)
    (folder / "slots.yaml").unlink()
    with pytest.raises(InputError, match=r"slots\.yaml: no such file"):
        load(folder)


def test_more_rows_than_the_grammar_has_is_an_error_with_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "seed"
    folder.mkdir()
    (folder / "assistant.yaml").write_text("name: tiny\ndescription: Tiny.\n")
    (folder / "slots.yaml").write_text("name: [a, b, c, d, e, f, g, h]\n")
    (folder / "intents.yaml").write_text("stop: {command: 'docker stop {name}', requests: ['stop {name}']}\n")
    with pytest.raises(InputError, match=r"generate\.rows"):
        splits(load(folder), rows=50, validation_rows=0, test_rows=2, seed=0)
