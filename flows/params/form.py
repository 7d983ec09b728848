"""params.yaml as the typed form of the Prefect UI: its keys with descriptions and limits, its values as defaults.

The page opens with what people change most; every section is below, closed until somebody wants it.
"""

import copy
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError, WithJsonSchema

from flows.params.model import model, overlay
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.core.settings import load

OFTEN = "often"
"""The part of the form that is no section: what people change most, from any section."""

MOST_CHANGED = (
    "base.folder", "base.hub", "clean.input", "template.max_length", "train.method", "train.learning_rate",
    "train.epochs", "train.steps", "train.batch_size", "train.seed", "align.objective", "quantize.schemes",
)  # fmt: skip
"""Keys of params.yaml, in the order of the page."""

UNSAID = object()
"""Of a key that params.yaml does not have; one that is null there is null in the form."""


def form(path: Path = PATHS.params) -> dict[str, Any]:
    """The JSON Schema of the settings, without references, in which every key is optional.

    The defaults are what `path` says at this moment, in this folder; where it says nothing valid, those of the models.
    """
    schema = model().model_json_schema()
    values: dict[str, Any] = {}
    if path.is_file():
        with suppress(SettingsError):  # said by `temper deploy`, and by the run itself
            values = load(model(), path).model_dump(mode="json")
    whole = _filled(_inline(schema, schema["$defs"]), values)
    often = {_field(name): _at(whole, name) | {"title": name} for name in MOST_CHANGED}
    sections = {name: _closed(name, section) for name, section in whole["properties"].items()}
    first = {
        "type": "object",
        "title": OFTEN,
        "description": "The most commonly changed settings.",
        "properties": _in_order(often),
    }
    return whole | {"title": "settings", "properties": _in_order({OFTEN: first, **sections})}


def changed_settings(settings: Mapping[str, Any], path: Path = PATHS.params) -> dict[str, Any]:
    """What of `settings`, as a form sent it, changes what `path` means; all of an invalid one, as who applies it says.

    A page sends the items of a list with each of their defaults, which would stand in params.yaml as a change, and null
    for a section that nobody opened. Raises `SettingsError` for a key that has two new values.
    """
    try:
        before = load(model(), path).model_dump(mode="json")
    except SettingsError:
        return _by_section(settings, {})
    sections = _by_section(settings, before)
    try:
        requested = copy.deepcopy(before)
        overlay(requested, sections)
        after = model().model_validate(requested).model_dump(mode="json")
    except (SettingsError, ValidationError):
        return sections
    return _differing(sections, before, after)


def _by_section(settings: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a form, with what was changed under `OFTEN` in its section."""
    sections = {name: copy.deepcopy(value) for name, value in settings.items() if name != OFTEN and value is not None}
    often = settings.get(OFTEN) or {}
    for name in MOST_CHANGED:
        section, key = name.split(".")
        old = before.get(section, {}).get(key, UNSAID)
        if (value := often.get(_field(name), old)) == old:
            continue
        inner = sections.setdefault(section, {})
        if inner.get(key, value) not in (value, old):
            raise SettingsError(
                f"{name} is {inner[key]!r} in its section and {value!r} under {OFTEN}; change only one of them."
            )
        inner[key] = value
    return sections


def _differing(settings: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    changed = {}
    for key, value in settings.items():
        old, new = before.get(key, UNSAID), after.get(key, UNSAID)
        if old == new:
            continue
        within = isinstance(value, Mapping) and isinstance(old, Mapping) and isinstance(new, Mapping)
        changed[key] = _differing(value, old, new) if within else value
    return changed


def _field(name: str) -> str:
    """The name of a field for this key of params.yaml: dots would be paths to the page."""
    return name.replace(".", "_")


def _at(node: dict[str, Any], name: str) -> dict[str, Any]:
    for part in name.split("."):
        node = node["properties"][part]
    return node


def _closed(name: str, section: dict[str, Any]) -> dict[str, Any]:
    """The section as a choice between nothing and its keys: the page shows these once somebody chooses them."""
    about = {key: section[key] for key in ("description",) if key in section}
    return {"title": name, **about, "anyOf": [{"type": "null"}, section | {"title": f"{name} ..."}], "default": None}


def _in_order(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part | {"position": number} for number, (name, part) in enumerate(parts.items())}


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """`node` with its references replaced by what they name, and nothing required."""
    if isinstance(node, list):
        return [_inline(part, definitions) for part in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        named = definitions[node["$ref"].rpartition("/")[2]]
        return _inline({**named, **{key: part for key, part in node.items() if key != "$ref"}}, definitions)
    dropped = {"required", "$defs", "discriminator"}  # the mapping of a discriminator names references
    return {key: _inline(part, definitions) for key, part in node.items() if not (key in dropped and _is_word(part))}


def _is_word(part: Any) -> bool:
    """Whether this is a word of JSON Schema, not a property of that name."""
    return not (isinstance(part, dict) and {"type", "anyOf", "$ref"} & set(part))


def _filled(node: dict[str, Any], values: Any) -> dict[str, Any]:
    """`node` with `values` as defaults of its leaves, each named by its key, as in params.yaml."""
    if "properties" not in node:
        return node if values is UNSAID else {**node, "default": values}
    inner = values if isinstance(values, dict) else {}
    parts = {
        name: _filled(part, inner.get(name, UNSAID)) | {"title": name} for name, part in node["properties"].items()
    }
    return {key: part for key, part in node.items() if key != "default"} | {"properties": parts}


Form = Annotated[dict[str, Any], WithJsonSchema(form())]
"""What a person, a schedule or a trigger puts over the params.yaml of a run; checked by the server before it starts."""

UNCHANGED: dict[str, Any] = {}
"""What the form is, unless somebody fills it in: params.yaml as it is. (With None, the page would hide the keys.)"""
