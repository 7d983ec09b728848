"""params.yaml as the typed form of the Prefect UI: its keys with descriptions and limits, its values as defaults."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import WithJsonSchema

from flows.settings import Params
from tasks.contract.errors import SettingsError
from tasks.contract.settings import PARAMS, load


def form(path: Path = Path(PARAMS)) -> dict[str, Any]:
    """The JSON Schema of the settings, without references, in which every key is optional.

    The defaults are what `path` says at this moment, in this folder; where it says nothing valid, those of the models.
    """
    schema = Params.model_json_schema()
    values: dict[str, Any] = {}
    if path.is_file():
        with suppress(SettingsError):  # said by `temper deploy`, and by the run itself
            values = load(Params, path).model_dump(mode="json")
    return _plain(schema, schema["$defs"], values, top=True) | {"title": "settings"}


def _plain(node: Any, definitions: dict[str, Any], value: Any, *, top: bool = False) -> dict[str, Any]:
    """`node` with its references replaced by what they name, and `value` as its default, down to the leaves."""
    if "$ref" in node:
        named = definitions[node["$ref"].rpartition("/")[2]]
        node = {**named, **{key: part for key, part in node.items() if key != "$ref"}}
    plain = {key: part for key, part in node.items() if key not in {"required", "$defs"}}
    inner = value if isinstance(value, dict) else {}
    if "properties" in plain:
        plain["properties"] = {
            name: {**_plain(part, definitions, inner.get(name)), "title": name}  # the key, as params.yaml has it
            for name, part in plain["properties"].items()
        }
    for key in ("anyOf", "oneOf", "allOf"):
        if key in plain:
            plain[key] = [_plain(part, definitions, None) for part in plain[key]]
    for key in ("items", "additionalProperties"):
        if isinstance(plain.get(key), dict):
            plain[key] = _plain(plain[key], definitions, None)
    plain.pop("discriminator", None)  # its mapping names references
    if "properties" not in plain and value is not None and not top:
        plain["default"] = value
    elif "properties" in plain:
        plain.pop("default", None)
    return plain


Form = Annotated[dict[str, Any], WithJsonSchema(form())]
"""What a person, a schedule or a trigger puts over the params.yaml of a run; checked by the server before it starts."""

UNCHANGED: dict[str, Any] = {}
"""What the form is, unless somebody fills it in: params.yaml as it is. (With None, the page would hide the keys.)"""
