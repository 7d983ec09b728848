"""Files of a commit, or of this folder as it is now, read within the bounds that a run's own files have.

Nobody can mend a commit of the past: what is wrong there is one sentence that names the commit and the file.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.system.git import blobs, git
from tasks.core.errors import MachineError
from tasks.core.json_files import LARGEST, json_value
from tasks.core.paths import PATHS
from tasks.core.yaml_files import parse

HERE = "."
"""The revision that stands for this folder as it is now."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Decision(BaseModel):
    """What the stage `decide` writes, as far as it is shown."""

    model_config = ConfigDict(extra="allow")

    promote: bool
    reason: str
    candidate: str
    metric: str
    value: Finite
    low: Finite
    high: Finite
    n: int
    gain: Finite
    p: Finite


def file_at(revision: str, path: str) -> str:
    """A file of this folder at `revision`, or as it is now for `.`; "" where there is none.

    Raises `MachineError` where it is too large, or no text.
    """
    try:
        if revision == HERE:
            file = Path(path)
            _check_size(revision, path, file.stat().st_size if file.is_file() else 0)
            return file.read_text(encoding="utf-8") if file.is_file() else ""
        try:
            _check_size(revision, path, int(git("cat-file", "-s", f"{revision}:./{path}")))
        except MachineError as error:
            if isinstance(error, _TooLarge):
                raise
            return ""
        return git("show", f"{revision}:./{path}")
    except UnicodeDecodeError as error:
        raise _no_text(revision, path, error) from None


def settings_at(revision: str) -> dict[str, Any]:
    """params.yaml at `revision`; empty where there is none. Raises `MachineError` where it cannot be read."""
    return as_settings(file_at(revision, PATHS.params.name), revision)


def as_settings(text: str, revision: str) -> dict[str, Any]:
    """`settings_at`, where the text was read already."""
    try:
        document = parse(text, "safe") if text else {}
    except ValueError as error:
        raise _wrong(revision, PATHS.params.name, str(error)) from None
    if not isinstance(document, dict):
        raise _wrong(revision, PATHS.params.name, "no sections with keys")
    return document


def object_at(revision: str, path: str) -> dict[str, Any]:
    """The object in a JSON file at `revision`; empty where there is none. Raises `MachineError` where it is none."""
    return as_object(file_at(revision, path), revision, path)


def as_object(text: str, revision: str, path: str) -> dict[str, Any]:
    """`object_at`, where the text was read already."""
    try:
        value = json_value(text) if text else {}
    except ValueError as error:
        raise _wrong(revision, path, f"not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise _wrong(revision, path, "no JSON object")
    return value


def decision_at(revision: str) -> dict[str, Any]:
    """What the stage `decide` wrote; empty where it did not run. Raises `MachineError` where it wrote no such thing."""
    return as_decision(file_at(revision, str(PATHS.decided)), revision)


def readable_decisions(revisions: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`decision_at` of each of `revisions`, without those that cannot be read."""
    known = {}
    for revision in revisions:
        with suppress(MachineError):
            known[revision] = decision_at(revision)
    return known


def as_decision(text: str, revision: str) -> dict[str, Any]:
    """`decision_at`, where the text was read already."""
    path = str(PATHS.decided)
    value = as_object(text, revision, path)
    try:
        return _Decision.model_validate(value).model_dump() if value else {}
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise _wrong(revision, path, f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}") from None


def files_at(revisions: Iterable[str], paths: Sequence[str]) -> Iterator[list[str | MachineError]]:
    """The files `paths` at each of `revisions`, in turn, as `file_at` has them; what cannot be read is an error.

    Two processes of git read them all, so that thousands take no longer than seconds.
    """
    names = [(revision, path) for revision in revisions for path in paths]
    contents = blobs([f"{revision}:./{path}" for revision, path in names], LARGEST)
    texts = (_text(*name, content) for name, content in zip(names, contents, strict=True))
    while batch := list(islice(texts, len(paths))):
        yield batch


def _text(revision: str, path: str, content: bytes | int | None) -> str | MachineError:
    """`content`: as `blobs` has it."""
    if isinstance(content, int):
        return _too_large(revision, path, content)
    try:
        return (content or b"").decode()
    except UnicodeDecodeError as error:
        return _no_text(revision, path, error)


class _TooLarge(MachineError):
    """Beside the errors of git, which say that there is no such file."""


def _check_size(revision: str, path: str, size: int) -> None:
    if size > LARGEST:
        raise _too_large(revision, path, size)


def _too_large(revision: str, path: str, size: int) -> MachineError:
    return _TooLarge(str(_wrong(revision, path, f"{size:,} bytes are more than such a file has")))


def _no_text(revision: str, path: str, error: UnicodeDecodeError) -> MachineError:
    return _wrong(revision, path, f"no UTF-8 at byte {error.start}")


def _wrong(revision: str, path: str, why: str) -> MachineError:
    place = path if revision == HERE else f"{path} at {revision[:10]}"
    remedy = "restore it" if revision == HERE else "name another revision"
    return MachineError(f"{place}: {why}; {remedy}.")
