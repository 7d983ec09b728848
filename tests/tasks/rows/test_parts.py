"""Parts of a stage's work are found by what they were made of, whole or not at all, and take a bounded room."""

import os
import pickle
import time
from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tasks.rows import parts as module
from tasks.rows.parts import Parts


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / ".dvc").mkdir()
    return Paths(tmp_path)


def files(paths: Paths) -> list[Path]:
    return sorted(path for path in paths.parts.rglob("*") if path.is_file())


def test_a_part_is_made_once_by_code_versions_settings_and_content(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bytes] = []

    def make(content: bytes, about: object = None) -> bytes:
        parts = pickle.loads(pickle.dumps(Parts.of(paths, "clean", about)))
        return bytes(parts.get_or_make(parts.key(b"rows", content), lambda: calls.append(content) or content.upper()))

    assert [make(b"one"), make(b"one"), make(b"two"), make(b"one")] == [b"ONE", b"ONE", b"TWO", b"ONE"]
    assert calls == [b"one", b"two"]
    make(b"one", about={"share": 0.5})
    paths.requirements.write_text("numpy==1\n")
    make(b"one")
    monkeypatch.setattr(module, "_code", lambda: "another")
    make(b"one")
    assert calls == [b"one", b"two", b"one", b"one", b"one"]


def test_the_borders_between_what_a_part_is_made_of_count(paths: Paths) -> None:
    parts = Parts.of(paths, "clean", None)
    assert len({parts.key(b"ab", b"c"), parts.key(b"a", b"bc"), parts.key(b"abc"), parts.key(b"abc", b"")}) == 4


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "another"])
def test_a_damaged_part_is_made_again(paths: Paths, damage: str) -> None:
    parts = Parts.of(paths, "clean", None)
    key, other = parts.key(b"one"), parts.key(b"two")
    parts.put(key, b"content of one")
    (path,) = files(paths)
    whole = path.read_bytes()
    parts.put(other, b"content of two")
    (second,) = set(files(paths)) - {path}
    path.write_bytes(
        {"cut": whole[:-1], "changed": whole[:-1] + b"x", "empty": b"", "another": second.read_bytes()}[damage]
    )
    assert parts.get(key) is None
    assert parts.get_or_make(key, lambda: b"content of one") == b"content of one" == parts.get(key)
    assert path.read_bytes() == whole


def test_room_is_bounded_and_what_nobody_used_goes(paths: Paths) -> None:
    earlier = Parts.of(paths, "template", None)
    for number in range(4):
        earlier.put(earlier.key(bytes([number])), b"x" * 84)
    for age, path in zip([module.KEPT + 60, 300, 200, 100], files(paths), strict=True):
        os.utime(path, (time.time() - age,) * 2)
    old, *_, oldest_kept, newest = files(paths)
    now = Parts.of(paths, "clean", None)
    for number in range(2):
        now.put(now.key(bytes([number])), b"x" * 84)
    now.trim(100 * 5)
    assert len(files(paths)) == 5 and not old.exists()
    now.trim(100 * 3)
    assert len(files(paths)) == 3 and newest.exists() and not oldest_kept.exists()
    now.trim(100)
    assert now.get(now.key(b"\0")) and not now.get(now.key(b"\1"))  # the next run begins with the first


def test_nothing_is_kept_without_a_place_or_room(tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Parts.of(Paths(tmp_path / "plain"), "clean", None)
    elsewhere.put(elsewhere.key(b"one"), b"content")
    elsewhere.trim()
    assert elsewhere.get(elsewhere.key(b"one")) is None
    assert not (tmp_path / "plain").exists()
    parts = Parts.of(paths, "clean", None)
    monkeypatch.setattr(module, "FREE", 1.0)
    parts.put(parts.key(b"one"), b"content")
    assert not files(paths)
