"""Every key at its default, and a document put back to that."""

import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from tasks.core.errors import SettingsError
from tasks.core.settings import Settings


def defaults(whole: type[Settings]) -> dict[str, Any]:
    """Every key of params.yaml with its default. `whole`: its model."""
    return every_key(whole.model_validate({name: {} for name in whole.model_fields}))


def every_key(section: BaseModel) -> dict[str, Any]:
    """The values of a section as JSON has them, with the keys that records of settings leave out at their default."""
    return {name: _plain(getattr(section, name)) for name in type(section).model_fields}


def _plain(value: Any) -> Any:
    return every_key(value) if isinstance(value, BaseModel) else to_jsonable_python(value)


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
        *sections, last = key.split(".")
        part = _at(document, sections)
        default = _at(values, sections)
        if isinstance(part, MutableMapping) and last in part:
            only = {last: part[last]}
            _reset(only, default if isinstance(default, Mapping) else {})
            part.update(only)
            if last not in only:
                del part[last]
        elif not isinstance(default, Mapping) or last not in default:
            raise SettingsError(f"{key}: {_unknown(sections, values)}")


def _at(values: Any, keys: list[str]) -> Any:
    """The value below `keys`; None where one of them is not there."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _unknown(sections: list[str], values: Mapping[str, Any]) -> str:
    """Why there is nothing to reset below `sections`: a value without keys by default, or no such key."""
    for count in range(len(sections), 0, -1):
        above = _at(values, sections[: count - 1])
        if isinstance(above, Mapping) and sections[count - 1] in above:
            default = above[sections[count - 1]]
            if isinstance(default, Mapping) and default:
                break
            shown = json.dumps(default, default=str)
            return f"it is not set here, and {'.'.join(sections[:count])} is {shown} by default."
    return "there is no such key; docs/params.md lists all keys."


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
