"""Which files are read: a file, a folder with data files, a `datasets` folder, or a data set of the hub."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field

from tasks.clean.formats import COMPRESSIONS, ENDINGS, MARKDOWN, ending
from tasks.clean.settings import Part, Splits
from tasks.core.errors import InputError, ModelError, hub_faults, hub_reason
from tasks.core.json_files import read_as
from tasks.core.paths import Paths

BESIDE = frozenset(
    {
        *("ledger.json", "profile.json", "settings.json", "left_out.jsonl", "left_out.parquet", "reported.parquet"),
        *("state.json", "dataset_info.json", "dataset_dict.json"),
    }
)
"""What stages and `datasets` write beside rows; never read as rows."""

KNOWN = (
    f"{', '.join(ENDINGS)}, where clean.shape is text also {' and '.join(MARKDOWN)}, "
    f"each also with {' or '.join(COMPRESSIONS)}"
)


AGAIN = "`datasets` did not write this; save the data set again"


class _Listed(BaseModel):
    """dataset_dict.json."""

    splits: list[str]


class _File(BaseModel):
    filename: str


class _State(BaseModel):
    """state.json."""

    data_files: list[_File] = Field(alias="_data_files")


@dataclass(frozen=True)
class Source:
    """One file to read."""

    path: Path
    name: str
    """Path below the input, with forward slashes."""
    split: str | None
    """The split that the file's name decides, or None."""
    part: int
    """Number of the first part of `clean.mix` that it belongs to, or -1."""
    most: int | None = None
    """Rows that are read at least, the first ones, before the rest is left; None: all."""


def input_path(input: str, hub: str | None, paths: Paths) -> Path:
    """The file or folder that is read; a data set of the hub is downloaded into the hub's cache, never copied."""
    if hub is None:
        return paths.root / input
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name, revision = hub.split("@")
    try:
        return Path(str(snapshot_download(name, repo_type="dataset", revision=revision, local_files_only=True)))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(str(snapshot_download(name, repo_type="dataset", revision=revision)))
    except hub_faults() as error:
        raise ModelError(
            f"clean.hub: {hub} is not in the local cache and cannot be downloaded ({hub_reason(error)}); check the "
            "name, the revision, the network and, for gated data sets, HF_TOKEN; or give local files as clean.input."
        ) from None


def sources(root: Path, splits: Splits, mix: tuple[Part, ...] = (), shape: str = "auto") -> list[Source]:
    """The files to read, sorted by name; Markdown only where all rows have the `shape` text.

    Raises `InputError` where there are none, or one is claimed by two splits.
    """
    files = _list_files(root, {*ENDINGS, *(MARKDOWN if shape == "text" else ())})
    claimed = _claims(root, files, splits)
    parts: dict[str, int] = {}
    for number, part in enumerate(mix):
        matches = [name for name in files if _fits(name, part.files)]
        if not matches:
            raise InputError(f"clean.mix: no file in {root} matches '{part.files}'; there are {_first(sorted(files))}.")
        for name in matches:
            parts.setdefault(name, number)
    dataset_splits = _dataset_splits(root)
    return [
        Source(files[name], name, claimed.get(name) or dataset_splits.get(name.split("/")[0]), parts.get(name, -1))
        for name in sorted(claimed or files)
    ]


def _list_files(root: Path, known: set[str]) -> dict[str, Path]:
    if not root.exists():
        if any(mark in root.name for mark in "*?["):
            raise InputError(
                f"{root}: no such file or folder; clean.input takes no patterns; name the folder there, and put "
                "patterns into clean.splits."
            )
        raise InputError(f"{root}: no such file or folder; set clean.input to where your rows are.")
    if root.is_file():
        if ending(root) not in known:
            raise InputError(f"{root}: not a known kind of data file; known endings: {KNOWN}.")
        return {root.name: root}
    files = {_name(path.relative_to(root)): path for path in root.rglob("*") if _is_data(path, root, known)}
    if any(ending(path) not in MARKDOWN for path in files.values()):
        files.pop("README.md", None)  # a card of the rows beside it
    if not files:
        others = sorted(_name(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        there = f" (there are {_first(others)})" if others else ""
        raise InputError(f"{root}: no data file in this folder{there}; known endings: {KNOWN}.")
    return files


def _name(path: Path) -> str:
    """The path as text that can be written as UTF-8, whatever bytes it is made of."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _claims(root: Path, files: dict[str, Path], splits: Splits) -> dict[str, str]:
    claimed: dict[str, str] = {}
    for split, patterns in splits.model_dump().items():
        for pattern in patterns:
            matches = [name for name in files if _fits(name, pattern)]
            if not matches:
                raise InputError(
                    f"clean.splits.{split}: no file in {root} matches '{pattern}'; there are {_first(sorted(files))}."
                )
            for name in matches:
                if claimed.setdefault(name, split) != split:
                    raise InputError(
                        f"{root / name}: matched by clean.splits.{claimed[name]} and clean.splits.{split}; change one "
                        "of them."
                    )
    return claimed


def _fits(name: str, pattern: str) -> bool:
    return PurePosixPath(name).match(pattern)


def _dataset_splits(root: Path) -> dict[str, str]:
    """Folder -> split of a saved `DatasetDict`, whose folders are named like its splits."""
    listed = root / "dataset_dict.json"
    if not root.is_dir() or not listed.is_file():
        return {}
    from tasks.clean.split import split_named

    names = read_as(_Listed, listed, InputError, AGAIN).splits
    return {name: split for name in names if (split := split_named(name))}


def _is_data(path: Path, root: Path, known: set[str]) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    if hidden or ending(path) not in known or path.name in BESIDE:
        return False
    if path.is_symlink() and not path.exists():  # it leads nowhere, or in a circle
        raise InputError(f"{path}: this link leads to no file; restore the file, or remove the link.")
    if not path.is_file():
        return False
    return path.suffix != ".arrow" or _is_listed(path)


def _is_listed(path: Path) -> bool:
    """Whether an Arrow file is one of the data set in its folder, not one that `datasets` cached there."""
    state = path.with_name("state.json")
    if not state.is_file():
        return True
    files = read_as(_State, state, InputError, AGAIN).data_files
    return path.name in {file.filename for file in files}


def _first(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
