"""What DVC refuses of the files that people write, in one sentence: file, line, key, what is wrong, what to do.

    dvc.yaml:5: unknown key 'stages.train.dep'; did you mean 'deps'?

DVC's exceptions say it in several lines with colours, for its own command, or name the file alone.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from dvc.config import ConfigError
from dvc.dependency import ParamsDependency
from dvc.exceptions import CyclicGraphError, DvcException, OutputDuplicationError, OverlappingOutputPathsError
from dvc.output import SCHEMA as OUTPUT
from dvc.parsing import ResolveError
from dvc.schema import FOREACH_IN, MULTI_STAGE_SCHEMA, OUT_PSTAGE_DETAILED_SCHEMA, SINGLE_STAGE_SCHEMA, STAGE_DEFINITION
from dvc.stage import Stage
from dvc.stage.exceptions import StageNotFound
from dvc.utils.serialize import ParseError
from dvc.utils.strictyaml import YAMLValidationError
from voluptuous import Invalid

from tasks.core.errors import MachineError, SettingsError, TemperError
from tasks.core.faults import line_of
from tasks.core.paths import PATHS
from tasks.core.settings import read
from tasks.named.choices import hint

MOST = 5
"""Faults of one file that are told at once."""

KINDS = {"a dictionary": "keys with values", "dict": "keys with values", "str": "text", "bool": "true or false",
         "int": "a number", "a list": "a list"}  # fmt: skip
"""What voluptuous expects, in YAML's words."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RESOLVED = re.compile(r"failed to (?:parse|resolve) (?:stage )?'([^']*)' in '([^']*)':\s*(.*)", re.DOTALL)
OPEN = re.compile(r"(?<!\\)\$\{[^{}]*(?:$|\$\{)")
"""A `${` without its end, which DVC leaves as it stands."""


def refusal(error: DvcException) -> TemperError:
    """The error to raise for what DVC raised."""
    if isinstance(error, YAMLValidationError):
        return SettingsError("\n".join(_invalid(error)))
    if isinstance(error, ParseError):
        return _unreadable(Path(error.path)) or SettingsError(one_line(error))
    if isinstance(error, ResolveError):
        return SettingsError(_unresolved(error))
    if isinstance(error, ConfigError):
        what = one_line(error).removeprefix("config file error: ")
        if what.startswith("Unsupported URL"):
            return SettingsError(
                f"{PATHS.pipeline}, or a remote of DVC's: {what} Write a path, or s3://, ssh://, https://."
            )
        return SettingsError(f"DVC's configuration (.dvc/config, .dvc/config.local, or that of this account): {what}")
    if isinstance(error, OutputDuplicationError):
        return SettingsError(_twice(error.output, error.stages))
    if isinstance(error, OverlappingOutputPathsError):
        one, other = error.parent, error.overlapping_out
        return SettingsError(
            f"{_where(other.stage)}: {other}, an output of {_name(other.stage)}, is inside {one}, an output of "
            f"{_name(one.stage)}; give each output its own folder."
        )
    if isinstance(error, CyclicGraphError):
        return SettingsError(_circle(one_line(error)))
    if isinstance(error, StageNotFound) and "@" in error.name:
        where = _place(PATHS.pipeline, ("stages", error.name))
        return SettingsError(f"{where}: stages.{error.name}: @ may only precede the item of a foreach; rename it.")
    return MachineError(one_line(error))


def unread(root: Path) -> TemperError | None:
    """What is wrong with a file of DVC's in the project at `root` at which DVC itself breaks; None where nothing is."""
    ignored = root / ".dvcignore"
    try:
        ignored.read_text(encoding="utf-8")
    except FileNotFoundError:
        pass
    except UnicodeDecodeError as error:
        return SettingsError(f"{ignored.name}: not UTF-8 at byte {error.start}; save it as UTF-8.")
    for path in sorted(root.rglob("*.dvc")):
        if not path.is_file():
            continue
        name = path.relative_to(root)
        try:
            outputs = read(path).get("outs") or []
        except SettingsError as error:
            return SettingsError(str(error).replace(str(path), str(name), 1))
        for number, output in enumerate(outputs):
            if isinstance(output, dict) and "path" not in output:
                return SettingsError(
                    f"{_place(path, ('outs', number), name)}: outs.{number}: the key 'path' is missing."
                )
    return None


def unclosed(path: Path = PATHS.pipeline) -> Iterator[str]:
    """A sentence for each text in `path` with a `${` that has no end."""
    document = read(path)
    for location, text in _texts(document, ()):
        if OPEN.search(text):
            key = ".".join(map(str, location))
            yield f"{path}:{line_of(document, location)}: {key}: a ${{ has no }} in {text!r}; close it."


def check_params(stages: Iterable[Stage], lacking: Any) -> None:
    """Raise `SettingsError` where a stage depends on a parameter that its file does not have.

    `lacking(dependency)` says which ones.
    """
    faults = []
    for stage in stages:
        for dependency in stage.deps:
            if isinstance(dependency, ParamsDependency) and dependency.exists:
                faults += [
                    f"{_where(stage)}: {_name(stage)} depends on {name}, which {dependency.def_path} does not have; "
                    "add it there, or remove it here."
                    for name in lacking(dependency)
                ]
    if faults:
        raise SettingsError("\n".join(faults[:MOST]))


def one_line(error: BaseException) -> str:
    lines = dict.fromkeys(COLOUR.sub("", str(error)).splitlines())  # DVC names a process once for each file it holds
    text = " ".join(" ".join(lines).split())
    return text if text.endswith(".") else f"{text}."


def _unreadable(path: Path) -> SettingsError | None:
    try:
        read(path)
    except SettingsError as error:
        return error
    return None


def _invalid(error: YAMLValidationError) -> Iterator[str]:
    path = Path(error.path)
    if fault := _unreadable(path):
        yield str(fault)
        return
    document, reported = read(path), set()
    for one in error.exc.errors[:MOST]:
        location = tuple(getattr(part, "schema", part) for part in one.path)
        entry = location[:-1]
        if _side_by_side(document, entry) and path.name == PATHS.pipeline.name:
            if entry not in reported:
                names = " and ".join(_value(document, entry))
                yield (
                    f"{_place(path, entry)}: {_key(entry)}: {names} are at the same level; put the options of a path "
                    "below it, indented by two more spaces."
                )
            reported.add(entry)
        else:
            yield _fault(path, document, location, one)


def _side_by_side(document: Any, entry: tuple[Any, ...]) -> bool:
    """Whether `entry` is an item of a list that has several keys, where DVC wants a path alone."""
    value = _value(document, entry)
    return bool(entry) and isinstance(entry[-1], int) and isinstance(value, dict) and len(value) > 1


def _fault(path: Path, document: Any, location: tuple[Any, ...], one: Invalid) -> str:
    where, key, message = _place(path, location), _key(location), one.error_message
    if message == "extra keys not allowed":
        known = _known(path, document, location[:-1])
        return f"{where}: unknown key '{key}'; {hint(str(location[-1]), known) if known else 'remove it.'}"
    if message == "required key not provided":
        return f"{where}: the key '{key}' is missing; add it."
    if kind := KINDS.get(message.removeprefix("expected ")):
        message = f"{kind} {'are' if kind.endswith('values') else 'is'} expected"
    value = _value(document, location)
    shown = "" if isinstance(value, dict | list) else " = nothing" if value is None else f" = {value}"
    return f"{where}: {key or 'the file'}{shown}: {message}."


def _known(path: Path, document: Any, location: tuple[Any, ...]) -> list[str]:
    """The keys that DVC knows at `location`."""
    keys: Iterable[Any] = ()
    below = location[3:] if location[2:3] == ("do",) else location[2:]
    if path.name != PATHS.pipeline.name:
        keys = SINGLE_STAGE_SCHEMA if not location else OUTPUT if location[0] == "outs" and len(location) == 2 else ()
    elif not location:
        keys = MULTI_STAGE_SCHEMA
    elif location[0] == "stages" and len(location) > 1 and not below:
        many = not location[2:] and {"foreach", "do"} & set(_value(document, location) or ())
        keys = FOREACH_IN if many else STAGE_DEFINITION
    elif below[:1] in (("outs",), ("metrics",), ("plots",)):
        keys = OUT_PSTAGE_DETAILED_SCHEMA[str]
    return list(map(str, keys))


def _unresolved(error: ResolveError) -> str:
    if not (parts := RESOLVED.search(COLOUR.sub("", str(error)))):
        return one_line(error)
    key, path, what = parts[1], Path(parts[2]), " ".join(parts[3].split())
    words = tuple(key.split("."))
    if words[0] == "stages" and len(words) > 1:  # of an item of foreach, or of a matrix
        words = ("stages", words[1].partition("@")[0], *words[2:])
        if isinstance(_value(read(path), words[:2]), dict) and "do" in _value(read(path), words[:2]):
            words = (*words[:2], "do", *words[2:]) if words[2:] != ("foreach",) else words
    where = _place(path, words)
    if lacks := re.fullmatch(r"Could not find '(.*)'", what):
        params = _unreadable(PATHS.params) or read(PATHS.params)
        *above, last = lacks[1].split(".")
        near = _value(params, tuple(above)) if isinstance(params, dict) else None
        advice = hint(last, [str(name) for name in near]) if isinstance(near, dict) else "write it as section.key."
        shell = "" if above else f" A variable of the shell is written \\${{{lacks[1]}}}."
        return f"{where}: {key}: {PATHS.params} has no {lacks[1]}; {advice}{shell}"
    if "ParseException" in what:
        text = re.match(r"\$\{.*?\}", what)
        shown = text[0] if text else what
        return f"{where}: {key}: {shown} cannot be read; write a key of {PATHS.params} as ${{section.key}}."
    return f"{where}: {key}: {what.rstrip('.')}."


def _twice(output: str, stages: Collection[Stage]) -> str:
    ordered = sorted(stages, key=lambda stage: (stage.relpath, stage.addressing))
    *others, last = ordered
    if not others:
        return f"{_where(last)}: {_name(last)} lists {output} twice among its outputs; remove one."
    return (
        f"{_where(last)}: {output} is an output of {' and of '.join(map(_name, ordered))}; remove it from all but one."
    )


def _circle(message: str) -> str:
    names = sorted(message.rstrip(".").rpartition(": ")[2].split(", "))
    where = _place(PATHS.pipeline, ("stages", names[0].partition("@")[0]))
    if len(names) == 1:
        return f"{where}: the stage {names[0]} depends on its own output; remove it from deps or outs."
    return f"{where}: the stages {' and '.join(names)} depend on each other in a cycle; remove one of the dependencies."


def _name(stage: Stage) -> str:
    return f"the stage {stage.addressing}" if getattr(stage, "name", None) else stage.relpath


def _where(stage: Stage) -> str:
    return _place(Path(stage.relpath), ("stages", (getattr(stage, "name", None) or "").partition("@")[0]))


def _place(path: Path, location: tuple[Any, ...], name: Path | None = None) -> str:
    """`path:line` of what stands at `location`; called `name` where that is another."""
    line = None if _unreadable(path) else line_of(read(path), location)
    return f"{name or path}:{line}" if line else f"{name or path}"


def _key(location: tuple[Any, ...]) -> str:
    return ".".join(map(str, location))


def _value(document: Any, location: tuple[Any, ...]) -> Any:
    for part in location:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _texts(value: Any, location: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, dict | list):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, (*location, part))
