"""Settings of a stage: a frozen pydantic model of its section in params.yaml, with errors that name key and line."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tasks.core.errors import SettingsError
from tasks.core.faults import in_words, line_of, nearest, of_one_place
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.core.yaml_files import Kind, parse

PARAMS = str(PATHS.params)

REFERENCE = "docs/params.md"
"""Where every key of params.yaml stands."""

SECRET = "secret"
"""Type of a fault (pydantic's) whose value is not told."""

SHOWN = 200
"""Characters of a value that are shown."""

MOST_FAULTS = 20
"""Faults that are told at once."""


def absent(value: Any) -> bool:
    """Whether a key was left out: it does not stand in the record of settings, which older versions wrote without."""
    return value is None


class Settings(BaseModel):
    """Base of every section: unknown keys are errors, values cannot change, every field has a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    moved: ClassVar[Mapping[str, str]] = {}
    """Keys of older files, each with the key of the same section that has taken its place."""
    retired: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Keys of older files that never had an effect, each with the values that said so; any other value is an error."""

    @model_validator(mode="before")
    @classmethod
    def _as_today(cls, values: Any) -> Any:
        """The section of an older file in today's keys."""
        if not isinstance(values, Mapping) or not (cls.moved or cls.retired):
            return values
        today = {key: value for key, value in values.items() if not _without_effect(cls, key, value)}
        for old, new in cls.moved.items():
            if old in today and new not in today:
                today[new] = today.pop(old)
        return today

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML's `true` is no 1."""
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        if any(isinstance(one, bool) for one in values):
            kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
            if bool not in kinds and kinds & {int, float}:
                raise ValueError("a number is expected")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _texts_that_differ(cls, value: Any) -> Any:
        """A list of texts has no empty one, and none twice; neither has one of several lists by name."""
        for texts in value.values() if isinstance(value, dict) else [value]:
            if isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts):
                if not all(text.strip(" \t") for text in texts):
                    raise ValueError("a text in this list is empty; fill it in, or remove it")
                if twice := next((text for text in texts if texts.count(text) > 1), None):
                    raise ValueError(f"{twice} occurs more than once; keep one")
        return value


def _named(value: str) -> str:
    """`value`, a path; `ValueError` where it names nothing, at which DVC breaks."""
    if not value.strip() or "\0" in value:
        raise ValueError("expected a path, but this is empty")
    return value


Location = Annotated[str, AfterValidator(_named)]
"""A path from the project's root."""

Model = TypeVar("Model", bound=BaseModel)


def _without_effect(model: type[Settings], key: str, value: Any) -> bool:
    return any(value is one or (type(value) is type(one) and value == one) for one in model.retired.get(key, ()))


def outdated(model: type[BaseModel], path: Path) -> list[str]:
    """A sentence for each key in `path` that an older version had, with the key that stands for it now."""
    document = read(path)
    return [
        f"{path}:{line_of(document, location)}: {'.'.join(location)} {what}"
        for location, what in _outdated(model, document, ())
    ]


def _outdated(model: type[BaseModel], values: Any, prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        here = (*prefix, str(key))
        if issubclass(model, Settings) and key in model.moved:
            yield here, f"is now called {'.'.join((*prefix, model.moved[key]))}; rename it."
        elif issubclass(model, Settings) and _without_effect(model, key, value):
            yield here, "never had an effect and is no longer read; remove it."
        elif field := model.model_fields.get(str(key)):
            for nested in models_in(field.annotation):
                yield from _outdated(nested, value, here)


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is made of, such as of `dict[str, list[X] | None]`."""
    inner = get_args(annotation)
    return set().union(*map(_kinds, inner)) if inner else {annotation}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a key of this type holds, or a list, mapping or choice of, by name."""
    models = [kind for kind in _kinds(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return sorted(models, key=lambda model: model.__name__)  # a set has no order of its own


def load(model: type[Model], path: Path, section: str = "") -> Model:
    """Read `path` (YAML 1.2), take `section` of it (or all), and return it validated.

    Raises `SettingsError` with every fault found: file, line, key, what is wrong, and the nearest known key.
    """
    document = read(path, "safe")
    value = document
    if section:
        value = document.get(section)
        if value is None and section not in document:
            raise SettingsError(f"{path}: the section '{section}' is missing; add '{section}:' with its keys.")
        value = {} if value is None else value
    try:
        return model.model_validate(_plain(value))
    except ValidationError as error:
        prefix, document = (section,) if section else (), read(path)
        placed = of_one_place(error.errors(), value)
        faults = [_sentence(path, document, model, prefix, fault) for fault in placed[:MOST_FAULTS]]
        if more := len(placed) - len(faults):
            faults.append(f"{path}: {counted(more, 'more errors')}; fix these first.")
        raise SettingsError("\n".join(faults)) from None


def read(path: Path, kind: Kind = "rt") -> Any:
    """The YAML mapping in `path`, with comments and line numbers; "safe", six times as fast, is without (ruamel)."""
    if path.exists() and not path.is_file():
        raise SettingsError(f"{path}: no file; put a YAML file there.")
    try:
        document = parse(path.read_text(encoding="utf-8"), kind)
    except FileNotFoundError:
        what = "run temper in the project's folder" if path.name == PARAMS else "name an existing YAML file"
        raise SettingsError(f"{path}: no such file; {what}.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except ValueError as error:
        raise SettingsError(f"{path}: {error}.") from None
    if not isinstance(document, dict):
        contents = "nothing" if document is None else "a list" if isinstance(document, list) else "a single value"
        raise SettingsError(f"{path}: expected sections with keys, such as train, but found {contents}.")
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _sentence(path: Path, document: Any, model: type[BaseModel], prefix: tuple[str, ...], fault: Any) -> str:
    location = (*prefix, *(part for part in fault["loc"]))
    key = ".".join(map(str, location))
    where = f"{path}:{line}" if (line := line_of(document, location)) else f"{path}"
    if fault["type"] == "extra_forbidden":
        known = _known(model, fault["loc"][:-1])
        below = _below(model, fault["loc"])
        section = f", section {location[0]}" if len(location) > 1 else ""
        advice = nearest(str(location[-1]), known, f"{REFERENCE}{section}" if path.name == PARAMS else "")
        if below:
            advice = f"did you mean '{'.'.join(map(str, (*location[:-1], below, location[-1])))}'?"
        return f"{where}: unknown key '{key}'; {advice}"
    if fault["type"] == "missing":
        return f"{where}: the key '{key}' is missing; add it."
    message = in_words(fault["msg"])
    if fault["type"] == "string_pattern_mismatch":
        message = "a name has letters, digits, dots, dashes and underscores, and starts with a letter or a digit"
    # A section has too many values to be shown, and what is a secret is none to be shown.
    shown = "" if isinstance(fault["input"], dict) or fault["type"] == SECRET else f" = {_short(fault['input'])}"
    end = "" if message.endswith(("?", ".")) else "."
    return f"{where}: {key}{shown}: {message[0].lower()}{message[1:]}{end}"


def _short(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _below(model: type[BaseModel], location: tuple[Any, ...]) -> str | None:
    """The only section beside an unknown key that knows a key of this name."""
    sections = [
        name
        for name, field in _known(model, location[:-1]).items()
        if [str(location[-1]) in nested.model_fields for nested in models_in(field.annotation)] == [True]
    ]
    return sections[0] if len(sections) == 1 else None


def _known(model: type[BaseModel], location: tuple[Any, ...]) -> dict[str, Any]:
    """Fields, by name, of the model that `location` points into."""
    for part in location:
        if (field := model.model_fields.get(str(part))) is None:
            continue  # the number of an item, or a name in a mapping
        nested = models_in(field.annotation)
        if len(nested) != 1:
            return {}
        model = nested[0]
    return dict(model.model_fields)
