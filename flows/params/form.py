"""params.yaml as the typed form of the Prefect UI: its keys with descriptions and limits, its values as defaults."""

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
    return _filled(_inline(schema, schema["$defs"]), values) | {"title": "settings"}


def changed_settings(settings: Mapping[str, Any], path: Path = PATHS.params) -> dict[str, Any]:
    """What of `settings` changes what `path` means; all where that is not valid, as who applies it will say.

    A page sends the items of a list with each of their defaults, which would stand in params.yaml as a change.
    """
    try:
        before = load(model(), path).model_dump(mode="json")
        requested = copy.deepcopy(before)
        overlay(requested, settings)
        after = model().model_validate(requested).model_dump(mode="json")
    except (SettingsError, ValidationError):
        return dict(settings)
    return _differing(settings, before, after)


def _differing(settings: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    changed = {}
    for key, value in settings.items():
        old, new = before.get(key, UNSAID), after.get(key, UNSAID)
        if old == new:
            continue
        within = isinstance(value, Mapping) and isinstance(old, Mapping) and isinstance(new, Mapping)
        changed[key] = _differing(value, old, new) if within else value
    return changed


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
