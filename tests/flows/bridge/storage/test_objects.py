"""Nothing of DVC's cache is restored unread: what is damaged is named and put aside, and its stage runs again."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from flows.bridge import survey
from tests.flows.bridge.small import Project, cached, remove

WEIGHTS = "data/model/weights.bin"

LINKS = ["hardlink", "copy", "symlink"]

Of = Callable[[str], Project]


@pytest.fixture(scope="module")
def whole() -> dict[str, Project]:
    """By kinds of links, a project that the last test of it left as it was made."""
    return {}


@pytest.fixture
def of(
    whole: dict[str, Project], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Of]:
    """Give a project whose outputs are such links, the current folder; it is made where none is whole."""
    given: dict[str, Project] = {}

    def give(link: str) -> Project:
        if kept := whole.pop(link, None):
            monkeypatch.chdir(kept.path)
        else:
            monkeypatch.chdir(tmp_path_factory.mktemp(link))
            kept = Project(Path.cwd(), link)
        given[link] = kept
        return kept

    yield give
    for link, project in given.items():
        if project.is_as_made():
            whole[link] = project


@pytest.fixture(params=LINKS)
def project(of: Of, request: pytest.FixtureRequest) -> Project:
    return of(request.param)


@pytest.fixture
def copied(of: Of) -> Project:
    """One whose outputs are copies of the objects: either can change alone."""
    return of("copy")


def each(firsts: Sequence[Any], seconds: Sequence[Any], default: Callable[[Any, Any], bool]) -> list[Any]:
    """Every pair; those that are not by default, long: DVC makes links alike whatever is wrong with what is linked."""
    pairs = product(firsts, seconds)
    return [pytest.param(*pair, marks=() if default(*pair) else pytest.mark.long) for pair in pairs]


def weights(project: Project) -> Path:
    """The object of the model's weights."""
    entries = json.loads(project.out("data/model").read_text())
    return cached(next(entry["md5"] for entry in entries if entry["relpath"] == "weights.bin"))


def rewrite(path: Path, content: bytes) -> None:
    """Change a file in place, and leave inode, mtime and mode as they were."""
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(before.st_mode & 0o777)


def cut(path: Path) -> None:
    rewrite(path, path.read_bytes()[:1000])


def flip(path: Path) -> None:
    """Sixteen bytes, where nobody sees it by size or time."""
    content = path.read_bytes()
    rewrite(path, bytes(byte ^ 1 for byte in content[:16]) + content[16:])


def empty(path: Path) -> None:
    rewrite(path, b"")


def flip_and_leave_writable(path: Path) -> None:
    """DVC reads such objects, and deletes them."""
    flip(path)
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("damage", "link"),
    each((flip, cut, empty, flip_and_leave_writable), LINKS, lambda damage, link: damage is flip or link == "hardlink"),
)
def test_a_damaged_object_is_put_aside_and_its_stage_runs_again(
    of: Of, damage: Callable[[Path], None], link: str
) -> None:
    project = of(link)
    remove("model")
    remove("rows")
    objects = {WEIGHTS.rpartition("/")[0]: weights(project), "data/rows.txt": project.out("data/rows.txt")}
    for file in objects.values():
        damage(file)
    wrong = {file.read_bytes() for file in objects.values()}
    assert project.run() == {"rows": "ran", "model": "ran"}
    assert sorted(line.partition(":")[0] for line in project.lines) == sorted(objects)
    for path, file in objects.items():
        (line,) = (line for line in project.lines if line.startswith(path))
        assert str(file.resolve()) in line
    damaged = "its content has changed" if damage in (flip, flip_and_leave_writable) else " bytes)"
    assert damaged in next(line for line in project.lines if line.startswith("data/rows.txt"))
    assert {file.read_bytes() for file in project.aside()} == wrong
    assert project.written() == project.bytes
    assert Path("dvc.lock").read_bytes() == project.lock
    assert weights(project).read_bytes() == project.bytes[WEIGHTS]
    assert project.run() == {}


def test_the_sentence_says_how_much_is_there(copied: Project) -> None:
    Path("data/report.txt").unlink()
    cut(copied.out("data/report.txt"))
    assert copied.run() == {"report": "ran"}
    (aside,) = copied.aside()
    file = copied.out("data/report.txt").resolve()
    assert copied.lines == [
        f"data/report.txt: {file} in DVC's cache is damaged (1,000 of 20,149 bytes); it was moved to {aside.resolve()}."
    ]


def shorter(path: Path) -> None:
    """A list that can be read, and lacks a file."""
    rewrite(path, json.dumps(json.loads(path.read_text())[:1]).encode())


def nameless(path: Path) -> None:
    """A list that can be read, of what are no files."""
    rewrite(path, b'[{"md5": "0"}]')


def other_hash(path: Path) -> None:
    """A list that names another object, which is there and whole."""
    entries = json.loads(path.read_text())
    rewrite(path, json.dumps([{**entry, "md5": entries[0]["md5"]} for entry in entries]).encode())


@pytest.mark.parametrize(
    ("damage", "kept"),
    each(
        (other_hash, cut, flip, empty, shorter, nameless),
        (True, False),
        lambda damage, kept: damage is other_hash or kept,
    ),
)
def test_a_damaged_list_of_a_folder_is_put_aside(
    copied: Project, damage: Callable[[Path], None], *, kept: bool
) -> None:
    if not kept:
        remove("model")
    listing = copied.out("data/model")
    whole = listing.read_bytes()
    damage(listing)
    if damage is cut:
        rewrite(listing, whole[:50])
    assert copied.run() == {"model": "ran"}
    assert copied.lines[0].startswith(f"data/model: {listing.resolve()} in DVC's cache is damaged")
    assert len(copied.aside()) == 1
    assert listing.read_bytes() == whole
    assert copied.written() == copied.bytes
    assert copied.run() == {}


def test_an_output_that_was_edited_is_seen_though_size_and_time_are_as_before(project: Project) -> None:
    """Where outputs are links, the edit damages the object: there the stage runs, else it is restored."""
    linked = Path(WEIGHTS).stat().st_nlink > 1 or Path(WEIGHTS).is_symlink()
    assert project.run() == {}
    flip(Path(WEIGHTS).resolve())
    assert project.run() == {"model": "ran" if linked else "restored"}
    assert len(project.lines) == linked
    assert project.written() == project.bytes
    assert project.run() == {}


@pytest.mark.parametrize(
    ("change", "link"),
    each(("other", "missing", "extra"), LINKS, lambda change, link: change == "other" or link == "hardlink"),
)
def test_a_folder_that_is_not_as_it_was_comes_back(of: Of, change: str, link: str) -> None:
    project = of(link)
    if change == "missing":
        Path("data/model/deep/config.json").unlink()
    elif change == "extra":
        Path("data/model/notes.txt").write_text("mine")
    else:
        Path(WEIGHTS).unlink()
        Path(WEIGHTS).write_bytes(b"x" * 20_149)
    assert project.run() == {"model": "restored"}
    assert project.lines == []
    assert project.written() == project.bytes


def test_what_dvc_restored_unread_is_read(copied: Project) -> None:
    """`dvc checkout` and `dvc repro` take the bytes as they come, and note the hash that they should have."""
    from dvc.repo import Repo

    remove("model")
    flip(weights(copied))
    with Repo() as repo:
        repo.checkout()
        assert not repo.status()
    assert copied.run() == {"model": "ran"}
    assert len(copied.lines) == 1
    assert copied.written() == copied.bytes


def test_what_a_stage_made_does_not_give_way_to_a_damaged_object_of_the_same_name(project: Project) -> None:
    """DVC stores no second copy of what the cache seems to have, and would replace the output by a link to it."""
    flip(weights(project))
    assert project.run("model") == {"model": "ran"}
    assert len(project.lines) == 1
    assert project.written() == project.bytes
    assert weights(project).read_bytes() == project.bytes[WEIGHTS]


def test_the_plan_counts_on_nothing_that_was_cut_off(copied: Project) -> None:
    remove("model")
    assert [status.restorable for status in survey(look_up=True)] == [False, True, False]
    cut(weights(copied))
    assert [status.restorable for status in survey(look_up=True)] == [False, False, False]
    assert weights(copied).exists()


@pytest.mark.parametrize("shares", [(0.0, 0.7, 0.99), pytest.param((0.1, 0.3, 0.5, 0.9), marks=pytest.mark.long)])
def test_an_entry_of_the_run_cache_that_was_cut_off_restores_nothing(
    copied: Project, shares: tuple[float, ...]
) -> None:
    """Wherever it was cut: half of it may well be readable."""
    Path("dvc.lock").unlink()
    entries = {file: file.read_bytes() for file in Path(".dvc/cache/runs").rglob("*") if file.is_file()}
    assert len(entries) == 3
    for share in shares:
        for file, content in entries.items():
            file.write_bytes(content[: int(share * len(content))])
        assert copied.run() == {"rows": "ran", "model": "ran", "report": "ran"}
        assert len(copied.lines) == 3
        assert {file: file.read_bytes() for file in entries} == entries
        assert copied.written() == copied.bytes
        Path("dvc.lock").unlink()
    assert copied.run() == {"rows": "restored", "model": "restored", "report": "restored"}


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_lock_file_that_was_cut_off_anywhere_is_as_it_was(copied: Project, step: int) -> None:
    """At the end of a line, half of it reads as if it were whole."""
    lines = copied.lock.splitlines(keepends=True)
    whole = [b"".join(lines[:number]) for number in range(len(lines) - 12, len(lines), step)]
    for content in (*whole, copied.lock[:-3], copied.lock[:200]):
        Path("dvc.lock").write_bytes(content)
        assert "ran" not in copied.run().values()
        assert Path("dvc.lock").read_bytes() == copied.lock


def test_the_next_entry_counts_where_the_newest_is_damaged(copied: Project) -> None:
    """The same inputs may have had several outputs: those of any of them are right."""
    (key,) = (
        folder for folder in Path(".dvc/cache/runs").glob("*/*") if "report.txt" in next(folder.iterdir()).read_text()
    )
    (key / ("0" * 64)).write_text("cmd: report\nouts: []\n")
    Path("data/report.txt").unlink()
    Path("dvc.lock").unlink()
    assert copied.run() == dict.fromkeys(("rows", "model", "report"), "restored")
    (line,) = copied.lines
    assert line.startswith("report: ")


def test_a_file_that_git_has_is_no_link_to_the_cache(project: Project) -> None:
    remove("rows")
    assert project.run() == {"rows": "restored"}
    ledger = Path("data/ledger.json")
    assert ledger.stat().st_nlink == 1
    assert not ledger.is_symlink()
    assert ledger.stat().st_mode & 0o200
