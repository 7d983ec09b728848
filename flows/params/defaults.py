"""Every key at its default, and a document put back to that."""

from collections.abc import Mapping, MutableMapping
from typing import Any

from tasks.core.errors import SettingsError
from tasks.core.settings import Settings

NAMED_BY_STAGES = (("evaluate", "engine"),)
"""Sections that dvc.yaml names, so that params.yaml must have them, while records leave them out at their default."""


def defaults(whole: type[Settings]) -> dict[str, Any]:
    """Every key of params.yaml with its default. `whole`: its model."""
    return in_file(whole.model_validate({name: {} for name in whole.model_fields}))


def in_file(whole: Settings) -> dict[str, Any]:
    """The keys of params.yaml, with the values that `whole` has."""
    values: dict[str, Any] = whole.model_dump(mode="json")
    for section, key in NAMED_BY_STAGES:
        values[section][key] = getattr(getattr(whole, section), key).model_dump(mode="json")
    return values


def own_settings(document: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What `document` has other than the defaults `values`: the names of a key, joined by NUL -> its value."""
    own: dict[str, Any] = {}
    for key, value in document.items():
        default, name = values.get(key), f"{prefix}{key}"
        if isinstance(value, Mapping) and value and isinstance(default, Mapping):
            own |= own_settings(value, default, f"{name}\0")
        elif key not in values or not _says(value, default):
            own[name] = value
    return own


def reset(document: Any, values: Mapping[str, Any], keys: tuple[str, ...] = ()) -> None:
    """Put every key that `document` names at its default, or those below `keys` (dotted); comments stay.

    `values`: as `defaults` gives them. Raises `SettingsError` for a key that there is not.
    """
    if not keys:
        _reset(document, values)
    for key in keys:
        part: Any = document
        default: Any = values
        *sections, last = key.split(".")
        for section in sections:
            default = default.get(section) if isinstance(default, Mapping) else None
            part = part.get(section) if isinstance(part, Mapping) else None
        if not isinstance(default, Mapping) or last not in default:
            raise SettingsError(f"{key}: there is no such key; docs/params.md lists all keys.")
        if isinstance(part, MutableMapping) and last in part:
            only = {last: part[last]}
            _reset(only, {last: default[last]})
            part[last] = only[last]


def _reset(document: Any, values: Mapping[str, Any]) -> None:
    for key in list(document):
        default, value = values.get(key), document[key]
        if key not in values:
            del document[key]
        elif isinstance(default, Mapping) and isinstance(value, Mapping):
            _reset(value, default)
        elif not _says(value, default):
            document[key] = default


def _says(value: Any, default: Any) -> bool:
    """Whether a value is the default. An item of a list may leave out what it does not say, all but its kind."""
    if isinstance(value, list) and isinstance(default, list):
        return len(value) == len(default) and all(map(_item_says, value, default))
    return bool(value == default)


def _item_says(item: Any, default: Any) -> bool:
    if isinstance(item, Mapping) and isinstance(default, Mapping) and "kind" in item:
        return all(key in default and value == default[key] for key, value in item.items())
    return bool(item == default)
