"""The overlays in recipes/: each gives valid settings, and what it reads is there or said to be the user's."""

import shutil
from pathlib import Path

import pytest

from flows.params.model import change, model
from tasks.core.paths import Paths
from tasks.core.settings import load
from tasks.generate.recipes import load_recipe
from tests.flows.project import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_an_overlay_gives_valid_settings_and_something_to_ask(recipe: Path, tmp_path: Path) -> None:
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    assert change([], recipe, path=params)
    settings = load(model(), params).generate
    if settings.recipe in ("none", "documents") or "generate:" not in recipe.read_text():
        return  # they read what the user has, or leave that section alone
    rows = list(load_recipe(settings.recipe).order(settings, Paths(ROOT)))
    wanted = 12 if settings.recipe == "preferences" else settings.rows
    assert sum(row["asked"] for row in rows) == wanted
