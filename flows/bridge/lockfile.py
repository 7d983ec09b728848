"""dvc.lock: where it lies, what it records of each stage, and what to do where a kill has left half of it."""

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import ParseError, dump_yaml, dumps_yaml, parse_yaml, parse_yaml_for_update
from voluptuous import Invalid

from tasks.core.errors import MachineError
from tasks.core.files import write_text, written
from tasks.core.yaml_files import parse as bounded

LOCK = Path("dvc.lock")
"""Relative to the project's folder."""

LARGEST = 2**21
"""Characters of the longest one that is read: some hundred for each file that a stage names."""

HEAD = "schema: '2.0'\nstages:\n"
"""What stands before the first stage."""

SCANNED_STAGE = re.compile(r"^  ([^\s:][^:\n]*):\n(?: {4}.*\n)+", re.MULTILINE)
SCANNED_OUTS = re.compile(r"^    outs:\n((?:    - .*\n|      .*\n)+)", re.MULTILINE)
SCANNED_OUT = re.compile(r"^    - path: (.+)\n(?:      hash: .*\n)?      md5: ([0-9a-f]{32}(?:\.dir)?)$", re.MULTILINE)
"""Layout of a stage, of its outputs, and of one of them, or of what it reads, as DVC writes them."""


@dataclass(frozen=True)
class Item:
    """A dependency or an output as it was when its stage ended."""

    md5: str = ""
    """Of a folder, with `.dir` behind it; "" where DVC recorded none."""
    size: int = 0
    """Bytes."""
    files: int | None = None
    """Of a folder: how many it holds."""


@dataclass(frozen=True)
class StageRecord:
    """One stage in dvc.lock: dependencies and outputs by path, in the file's order."""

    deps: Mapping[str, Item]
    outs: Mapping[str, Item]


def parse(text: str) -> dict[str, StageRecord]:
    """Stage -> what dvc.lock, whose content is `text`, records of it; nothing for an empty text.

    Raises `MachineError` where it is no dvc.lock, or beyond the bounds of a file of settings.
    """
    try:
        document: dict[str, Any] = bounded(text, "safe", LARGEST) or {}
        return {
            str(name): StageRecord(_items(entry.get("deps", [])), _items(entry.get("outs", [])))
            for name, entry in document.get("stages", {}).items()
        }
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        why = str(error) if isinstance(error, ValueError) else "not a file that DVC wrote"
        raise MachineError(f"{LOCK}: {why}; restore it from git, or name another revision.") from None


def scan(text: str) -> dict[str, dict[str, str]]:
    """Stage -> hash by path of what it left, read by the layout in which DVC writes dvc.lock, and not as YAML.

    A hundred times as fast as `parse`, for thousands of commits; what stands there in another layout is left out.
    """
    return {
        stage[1]: dict(re.findall(SCANNED_OUT, outs[1])) if (outs := re.search(SCANNED_OUTS, stage[0])) else {}
        for stage in re.finditer(SCANNED_STAGE, text)
    }


def scan_hashes(text: str) -> dict[str, str]:
    """Hash by path of all that stages read or left, whatever stage it was; read as `scan` does."""
    return dict(re.findall(SCANNED_OUT, text))


def _items(entries: list[dict[str, Any]]) -> dict[str, Item]:
    return {
        str(entry["path"]): Item(entry.get("md5", ""), entry.get("size", 0), entry.get("nfiles")) for entry in entries
    }


def record(path: Path, stage: str, entry: Mapping[str, Any]) -> bool:
    """Write the entry of one stage into the file `path`, which is then, byte for byte, what DVC would write.

    DVC reads all stages anew and writes all of them, in place, which takes most of a second; here the text of the
    others stays, and no kill leaves half a file. False where the text has not the layout in which DVC writes it:
    the file is then as it was.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else HEAD
    blocks, new = _blocks(text), dumps_yaml({"schema": "2.0", "stages": {stage: dict(entry)}})
    added = _blocks(new)
    if blocks is None or added is None or added.keys() != {stage}:
        return False
    write_text(path, HEAD + "".join((blocks | added).values()))
    return True


def _blocks(text: str) -> dict[str, str] | None:
    """The text of each stage by its name; None where anything stands in the file that is neither head nor stage."""
    blocks = {stage[1]: stage[0] for stage in SCANNED_STAGE.finditer(text)}
    return blocks if text == HEAD + "".join(blocks.values()) else None


def sort(path: Path, order: Mapping[str, int]) -> None:
    """Put the stages in the file `path` in this order, by name; those that `order` lacks come last."""
    text = path.read_text(encoding="utf-8")
    blocks = _blocks(text)
    if blocks is None:
        _sort_document(path, parse_yaml_for_update(text, path), order)
    elif (names := _sorted(blocks, order)) != list(blocks):
        write_text(path, HEAD + "".join(blocks[name] for name in names))


def _sort_document(path: Path, document: Any, order: Mapping[str, int]) -> None:
    """The same for a file in a layout of its own, whose comments stay."""
    names = _sorted(document["stages"], order)
    if names == list(document["stages"]):
        return
    for name in names:
        document["stages"].move_to_end(name)
    with written(path) as aside:
        dump_yaml(aside, document)


def _sorted(stages: Iterable[str], order: Mapping[str, int]) -> list[str]:
    return sorted(stages, key=lambda name: order.get(name, len(order)))


def cut_off(path: Path, *, read: bool = False) -> bool:
    """Whether the file is half a dvc.lock: its last line has no end or, with `read`, DVC cannot read it."""
    return path.exists() and not _whole(path.read_bytes(), read=read)


def mend(path: Path) -> str:
    """Replace half a dvc.lock by the one in git's HEAD, or remove it; return what was done.

    DVC writes it in place, so a kill in that moment leaves half of it; half of it may well be readable. Nothing is lost
    either way: every finished stage is in DVC's run cache, which restores it. So it is with one that people broke.
    """
    why = "was cut off (a run was killed while DVC wrote it)"
    if path.read_bytes().endswith(b"\n") and (fault := _fault(path)):
        why = f"cannot be read ({fault})"
    kept = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, check=False)
    if kept.returncode == 0 and _whole(kept.stdout):
        with written(path) as aside:
            aside.write_bytes(kept.stdout)
        return f"{path.name} {why}: taken from git; stages are restored."
    path.unlink()
    return f"{path.name} {why}: removed; finished stages are restored."


def _fault(path: Path) -> str:
    """What is wrong with its text as YAML, or as a dvc.lock."""
    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(path.read_text(encoding="utf-8"), str(LOCK)))
    except ParseError:
        try:
            bounded(path.read_text(encoding="utf-8"), "safe", LARGEST)
        except ValueError as error:
            return str(error)
    except Invalid as error:
        return f"{'.'.join(map(str, error.path)) or 'the file'}: {error.error_message}"
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start}"
    return ""


def _whole(content: bytes, *, read: bool = True) -> bool:
    """Whether this ends as a dvc.lock does and, with `read`, DVC can read it as one."""
    if not content.endswith(b"\n") or not read:
        return content.endswith(b"\n")
    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(content.decode(), str(LOCK)))
    except (ParseError, Invalid, UnicodeDecodeError):
        return False
    return True
