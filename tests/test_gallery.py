"""The gallery: its pages are small, of no machine, and those that its index lists; its recipes work."""

import csv
import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from examples.gallery.__main__ import long_form, main
from flows.params.model import change, model
from tasks.core.settings import load
from tests import gallery
from tests.browser import CHROMIUM, WITHOUT, opened
from tests.flows.project import ROOT

PAGES = sorted(gallery.FOLDER.glob("*/*.html"))
OURS = re.compile(r"/(?:root|work|home/\w+|Users/\w+|tmp/(?:temper|tmp|pytest)[-\w]*)/")
"""How folders of the machines begin that run this."""


@pytest.mark.skipif(not PAGES, reason="no run was made yet; make gallery makes them")
def test_the_index_is_made_of_what_is_there() -> None:
    assert (gallery.FOLDER / "index.md").read_text(encoding="utf-8") == gallery.index()
    assert {folder.name for folder in gallery.FOLDER.iterdir() if folder.is_dir()} == {*gallery.known()}
    for name in gallery.known():
        pages = {file.name for file in (gallery.FOLDER / name).iterdir()}
        assert pages == {"report.html", "predictions.html", "thumbnail.png"}, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_a_page_is_small_and_of_no_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 800_000
    assert not OURS.findall(text)
    host = socket.gethostname()
    assert len(host) < 6 or host not in text, "shorter names, such as vm, are words of a text too"


def test_the_page_on_tuning_says_what_the_run_of_ppo_says() -> None:
    run, page = gallery.known()["ppo"], (ROOT / "docs/tuning.md").read_text(encoding="utf-8")
    row = " | ".join(gallery._score(run[end]) for end in ("before", "after"))
    assert f"| exact match on 240 held-out rows | {row} |" in page
    assert run["after"]["low"] > run["before"]["high"], "more than chance gives, whichever way it is compared"


def test_all_of_it_is_small() -> None:
    assert sum(file.stat().st_size for file in gallery.FOLDER.rglob("*") if file.is_file()) < 5_000_000


@pytest.mark.parametrize("entry", gallery.ENTRIES.values(), ids=list(gallery.ENTRIES))
def test_settings_of_a_run_are_valid(entry: gallery.Entry, tmp_path: Path) -> None:
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    if entry.recipe:
        assert change([], ROOT / entry.recipe, path=params)
    load(model(), params)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("docker stop web", "docker container stop web"),
        ("docker ps -a", "docker container ls -a"),
        ("docker images", "docker image ls"),
        ("docker rmi nginx:v3", "docker image rm nginx:v3"),
        ("docker volume ls", None),
        ("docker compose up -d web", None),
    ],
)
def test_commands_have_a_long_form(short: str, long: str | None) -> None:
    assert long_form(short) == long


def test_rows_of_the_test_are_none_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    shutil.copytree(ROOT / "data/seed", tmp_path / "data/seed")
    monkeypatch.chdir(tmp_path)
    main(["classifier"])
    main(["preferences"])
    with (Path("data/own/classifier/train.csv")).open() as train, Path("data/own/classifier/test.csv").open() as test:
        trained, asked = ({row["text"]: row["label"] for row in csv.DictReader(file)} for file in (train, test))
    assert (len(trained), len(asked)) == (2100, 240)
    assert set(trained.values()) == set(asked.values()) == {"looks", "changes", "removes"}
    assert not trained.keys() & asked.keys()
    main(["multilabel"])
    listed, held_out = (
        [json.loads(line) for line in Path(f"data/own/multilabel/{split}.jsonl").read_text().splitlines()]
        for split in ("train", "test")
    )
    assert {name for row in listed for name in row["labels"]} == {"changes", "removes", "images", "networks", "volumes"}
    assert not {row["text"] for row in listed} & {row["text"] for row in held_out}
    assert {len(row["labels"]) for row in held_out} >= {0, 1, 2, 3}
    rows, pairs, tests = (
        [json.loads(line) for line in Path(f"data/own/preferences/{name}.jsonl").read_text().splitlines()]
        for name in ("rows", "pairs", "test")
    )
    assert not {row["prompt"] for row in rows + pairs} & {row["prompt"] for row in tests}
    assert all(row["chosen"] == long_form(row["rejected"]) for row in pairs)
    longer = [row["completion"].startswith(("docker container ", "docker image ")) for row in rows]
    assert 0.3 < sum(longer) / len(longer) < 0.6


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_a_page_can_be_read_by_everybody(page: Path) -> None:
    with opened(page) as read:
        assert not read.faults("light", 1100)
        assert not read.faults("dark", 500)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not gallery.SHARED.is_dir(), reason="../shared is missing")
def test_a_run_is_made_anew(api: str, tmp_path: Path) -> None:
    """Scores move a little with the type of processor; what the gallery says of the run has to stay true."""
    with gallery.room(api) as place:
        gallery.make("public-data", place, tmp_path)
    new, old = gallery.known(tmp_path)["public-data"], gallery.known()["public-data"]
    assert new["metric"] == old["metric"]
    assert new["after"]["value"] > new["before"]["high"]
    assert old["after"]["low"] - 0.1 < new["after"]["value"] < old["after"]["high"] + 0.1
    assert (tmp_path / "public-data/report.html").is_file()
