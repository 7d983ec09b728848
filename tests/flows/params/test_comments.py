"""Comments of params.yaml stay above what they are about, whatever comes, goes or changes before them."""

import re
from pathlib import Path

import pytest

from flows.params.comments import editable
from flows.params.defaults import own_settings
from flows.params.model import change, explain_keys, save
from tasks.core.settings import read
from tests.flows.project import ROOT

TEXT = """\
# The run.

base:  # the model
  folder: data/seed
  # Optimisation.
  pretraining:
    steps: 5  # few
    # rate: 0.1

  hub: null

# ---- Data ----

clean:
  mix:
    - files: a
      share: 0.5
    # of all

  note: |
    two
    lines

# ---- Training ----
train: {steps: 3}
# The end.
"""


def changed(path: Path, *assignments: str, recipe: Path | None = None) -> str:
    path.write_text(TEXT)
    change(list(assignments), recipe, path=path, verify=lambda aside: None)
    return path.read_text()


@pytest.mark.parametrize(
    ("assignment", "line", "new"),
    [
        ("base.rope=x", "  hub: null\n", "  rope: x\n"),
        ("base.pretraining.seed=1", "    # rate: 0.1\n", "    seed: 1\n"),
        ("clean.near=1", "    lines\n", "  near: 1\n"),
        ("clean.more={a: {b: [1]}}", "    lines\n", "  more: {a: {b: [1]}}\n"),
        ("own.key=1", "train: {steps: 3}\n", "own:\n  key: 1\n"),
    ],
)
def test_a_new_key_is_the_last_of_its_section(tmp_path: Path, assignment: str, line: str, new: str) -> None:
    assert changed(tmp_path / "params.yaml", assignment) == TEXT.replace(line, line + new)


@pytest.mark.parametrize(
    ("assignment", "old", "new"),
    [
        ("clean.note=7", "  note: |\n    two\n    lines\n", "  note: 7\n"),
        (
            "clean.mix=[]",
            "  mix:\n    - files: a\n      share: 0.5\n    # of all\n",
            "  mix: []\n",
        ),
        ("base.pretraining=1", "  pretraining:\n    steps: 5  # few\n    # rate: 0.1\n", "  pretraining: 1\n"),
    ],
)
def test_what_replaces_a_section_takes_no_comment_of_the_next_along(
    tmp_path: Path, assignment: str, old: str, new: str
) -> None:
    assert changed(tmp_path / "params.yaml", assignment) == TEXT.replace(old, new)


def test_a_last_key_goes_without_the_comment_of_the_next_section(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    document, before = editable(path), editable(path)
    del document["base"]["hub"], document["clean"]["note"]
    save(document, before, path, lambda aside: None)
    assert path.read_text() == TEXT.replace("\n  hub: null\n", "").replace("\n  note: |\n    two\n    lines\n", "")


def test_nothing_of_a_recipe_comes_in_but_its_values(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("# Mine.\nbase:\n  folder: m\n  rope:\n    factor: 4\n\n# Of the next.\ntrain:\n  steps: 3\n")
    text = changed(tmp_path / "params.yaml", recipe=recipe)
    assert "Mine" not in text
    assert "Of the next" not in text


@pytest.mark.parametrize(
    "path", [ROOT / "params.yaml", *sorted((ROOT / "recipes").rglob("*.yaml"))], ids=lambda path: path.stem
)
def test_each_line_of_the_files_that_come_along_stays(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_text(path.read_text())
    change(["own_section.key=1"], path=copy, verify=lambda aside: None)
    assert copy.read_text().replace("own_section:\n  key: 1\n", "").split() == path.read_text().split()


@pytest.mark.parametrize("recipe", [None, *sorted((ROOT / "recipes/tasks").glob("*.yaml"))], ids=str)
def test_every_key_of_a_new_project_has_a_comment(recipe: Path | None, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    if recipe:
        change([], recipe, path=path, verify=lambda aside: None)
    before = read(path)
    explain_keys(path)
    lines = path.read_text().splitlines()
    bare = [line for above, line in zip(["", *lines], lines, strict=False) if "#" not in line and "#" not in above]
    assert [line for line in bare if line.strip()] in ([], ["  metrics:"]), "whose items have theirs"
    assert not own_settings(read(path), before) and not own_settings(before, read(path))
    if recipe and "epochs" in recipe.read_text():
        about = "passes over the training rows, instead of `steps`"
        assert re.search(rf"^  epochs: [123]\.0                  # {about}$", path.read_text(), re.MULTILINE)
