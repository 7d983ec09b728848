"""What DVC remembers of files lies where no other user can put anything, for temper's commands and for plain `dvc`."""

import os
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.bridge import cache
from flows.bridge.storage import site_cache
from tasks.core.errors import MachineError
from tests.flows.project import Toy


@pytest.fixture(autouse=True)
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_cache, "_seen", set())
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)


def place() -> Path:
    with Repo() as repo:
        return Path(repo.site_cache_dir)


def test_it_lies_in_the_checkout_for_this_user_alone(new: Toy) -> None:
    cache()
    own = new.path / f".dvc/tmp/site-{os.getuid()}"
    assert place().is_relative_to(own)
    assert own.stat().st_mode & 0o777 == 0o700
    assert f"Repo.site_cache_dir: {own}/repo/" in new.dvc("doctor")
    (new.path / "data/deeper").mkdir()
    os.chdir(new.path / "data/deeper")
    assert place().is_relative_to(own)
    assert not list(new.path.glob("data/**/.dvc"))
    assert new.call("git", "status", "--porcelain") == ""


def test_a_checkout_that_moved_or_was_copied_has_its_own(new: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    cache()
    moved = new.path.rename(new.path.with_name("moved"))
    monkeypatch.chdir(moved)
    cache()
    assert place().is_relative_to(moved)
    config = moved / ".dvc/config.local"
    config.write_text(config.read_text().replace(f"site-{os.getuid()}", "site-4711"))
    monkeypatch.setattr(site_cache, "_seen", set())
    cache()  # the checkout is shared: the file names another user's
    assert place().is_relative_to(moved / f".dvc/tmp/site-{os.getuid()}")
    assert "site-4711" in config.read_text()


@pytest.mark.parametrize("kind", ["written by others", "a link", "a file"])
@pytest.mark.parametrize("chosen", ["default", "environment"])
def test_a_place_of_somebody_else_is_refused(
    new: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, chosen: str
) -> None:
    folder = new.path / f".dvc/tmp/site-{os.getuid()}"
    if chosen == "environment":
        folder = tmp_path / "chosen"
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder))
    folder.parent.mkdir(exist_ok=True)
    if kind == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "theirs")
    elif kind == "a file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(MachineError, match=str(folder)):
        cache()


def test_a_place_that_belongs_to_another_user_is_refused(new: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new.path / ".dvc/tmp/site-4711"
    folder.mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(MachineError, match="belongs to another user"):
        cache()
