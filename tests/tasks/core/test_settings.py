"""Every fault in params.yaml is told at once, with its line, its key and the nearest known key."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from tasks.core.errors import SettingsError
from tasks.core.settings import Settings, load, outdated
from tasks.generate import stage as generate


class Adapter(Settings):
    r: int = Field(16, ge=1)


class Train(Settings):
    learning_rate: float = Field(1e-3, gt=0)
    steps: int = 10
    adapter: Adapter = Adapter()


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        load(Train, path, "train")
    return [line.removeprefix(str(path)) for line in str(error.value).splitlines()]


def test_unknown_key_names_line_and_nearest(tmp_path: Path) -> None:
    assert faults(tmp_path, "train:\n  steps: 3\n  learning_rat: 1e-4\n") == [
        ":3: unknown key 'train.learning_rat'; did you mean 'learning_rate'?"
    ]


def test_unknown_nested_key_without_a_near_one_lists_the_known(tmp_path: Path) -> None:
    assert faults(tmp_path, "train:\n  adapter:\n    zzz: 1\n") == [
        ":3: unknown key 'train.adapter.zzz'; known keys here: r."
    ]


class Wide(Settings):
    alpha: int = 1
    beta: int = 1
    gamma: int = 1
    delta: int = 1
    names: tuple[str, ...] = ()
    prompts: dict[str, list[str]] = Field(default_factory=dict)
    modules: int | list[str] = 1
    share: float = 1.0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("alpa: 1", "unknown key 'wide.alpa'; did you mean 'alpha'?"),
        ("zeta: 1", "unknown key 'wide.zeta'; did you mean 'beta'?"),
        ("qqq: 1", "unknown key 'wide.qqq'; the nearest are share, prompts, names; docs/params.md, section "
         "wide lists all 8."),
        ("names: [a, '']", "wide.names = ['a', '']: a text in this list is empty; fill it in, or remove it."),
        ("names: [a, b, a]", "wide.names = ['a', 'b', 'a']: a occurs more than once; keep one."),
        ("names: [1]", "wide.names.0 = 1: input should be a valid string."),
        ("names: a", "wide.names = 'a': input should be a list."),
        ("prompts: {x: [' ']}", "wide.prompts: a text in this list is empty; fill it in, or remove it."),
        ("modules: [1]", "wide.modules.0 = 1: input should be a valid string."),
        ("modules: abc", "wide.modules = 'abc': input should be a valid integer, unable to parse string as an integer "
         "or a valid list."),
        ("share: .inf", "wide.share = inf: input should be a finite number."),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_of_one_place(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"wide:\n  {line}\n")
    with pytest.raises(SettingsError) as error:
        load(Wide, path, "wide")
    (fault,) = str(error.value).splitlines()
    assert fault == f"{path}:2: {sentence}"


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    lines = faults(tmp_path, "train:\n  steps: many\n  learning_rate: -1\n")
    assert len(lines) == 2
    assert any(":2: train.steps = 'many'" in line for line in lines)
    assert any(":3: train.learning_rate = -1" in line for line in lines)


def test_numbers_as_yaml_1_2_has_them(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {learning_rate: 1e-4}\n")
    assert load(Train, path, "train").learning_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1\n", "not valid YAML: line "),
        ("a: 1\nb: 2\na: 3\n", "not valid YAML: line 3: the key a occurs twice; remove one"),
        ("- 1\n", "expected sections with keys, such as train, but found a list"),
        ("", "found nothing"),
        ("other: {}\n", "the section 'train' is missing"),
    ],
)
def test_a_document_that_is_none(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in faults(tmp_path, text)[0]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(Train, tmp_path / "params.yaml", "train")


def test_an_empty_section_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train:\n")
    assert load(Train, path, "train") == Train()


def test_a_key_given_in_place_of_its_name_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("generate:\n  teacher:\n    key_variable: sk-plenty-of-secret\n")
    with pytest.raises(SettingsError, match=r":3: generate\.teacher\.key_variable: not the name of .*remove") as error:
        load(generate.Settings, path, "generate")
    assert "sk-" not in str(error.value)


def test_a_fault_of_a_whole_section_is_told_without_its_values(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("generate:\n  recipe: magpie\n")
    with pytest.raises(SettingsError, match=r"params\.yaml:1: generate: the recipe 'magpie' needs a teacher"):
        load(generate.Settings, path, "generate")


class Renamed(Settings):
    """A section in which a key has another name than it had."""

    moved: ClassVar = {"rank": "r"}

    r: int = 1
    """Rank."""


def test_a_key_that_has_moved_is_read_under_its_new_name_and_named(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("rank: 8\n")
    assert load(Renamed, file).r == 8
    assert outdated(Renamed, file) == [f"{file}:1: rank is now called r; rename it."]
    file.write_text("rank: 8\nr: 4\n")
    with pytest.raises(SettingsError, match="unknown key 'rank'"):
        load(Renamed, file)
