"""Definitions of tools: one form, OpenAI's, for the shapes that they come in."""

from typing import Any

from tasks.rows.tool_call import BadTool, as_value

SCHEMAS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema")
"""Keys under which the shapes have the JSON Schema of the arguments."""

_DECLARATIONS = ("functionDeclarations", "function_declarations")
_NO_NULL = ("default", "const")


def read_tools(value: Any) -> list[dict[str, Any]]:
    """Definitions in OpenAI's form, keys in the order in which they came, without keys that are null.

    They come as a list or one definition, themselves or as JSON text, each with or without what OpenAI's has around it;
    from Anthropic with `input_schema`, from Gemini below `functionDeclarations`.

    >>> read_tools('[{"name": "ls", "parameters": null}]')
    [{'type': 'function', 'function': {'name': 'ls'}}]

    Raises `BadTool` (`bad_tools`) for what is no definition, or has no name.
    """
    value = as_value(value)
    items = value if isinstance(value, list) else [value]
    tools: list[dict[str, Any]] = []
    for item in map(as_value, items):
        if item is None:
            continue
        if not isinstance(item, dict):
            raise BadTool("bad_tools")
        declared = next((item[key] for key in _DECLARATIONS if item.get(key)), None)
        if isinstance(declared, list):
            tools += [_small_types(_tool(as_value(one))) for one in declared]
        else:
            tools.append(_tool(item))
    return tools


def schemas(tools: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The JSON Schema of the arguments by the name of the tool; empty where it has none."""
    known = {tool["function"]["name"]: tool["function"].get("parameters") for tool in tools}
    return {name: schema if isinstance(schema, dict) else {} for name, schema in known.items()}


def has_nulls(value: Any) -> bool:
    """Whether `without_nulls` would change the value."""
    return bool(without_nulls(value) != value)


def without_nulls(value: Any) -> Any:
    """A schema without the keys that are null, and without objects of nothing else.

    A table gives each object the keys of all others in its column, as null. `default: null` stays where the schema says
    that the value may be null.
    """
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if inner is None:
            if key in _NO_NULL and takes_null(value):
                kept[key] = None
            continue
        stripped = without_nulls(inner)
        if isinstance(inner, dict) and inner and not stripped and key != "properties":
            continue
        kept[key] = stripped
    return kept


def takes_null(schema: Any) -> bool:
    """Whether a JSON Schema says that the value may be null."""
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "null" in kinds or schema.get("nullable") is True:
        return True
    if isinstance(schema.get("enum"), list) and None in schema["enum"]:
        return True
    options = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    return any(takes_null(option) for option in options)


def arguments_without_padding(values: dict[str, Any], schema: dict[str, Any], *, as_text: bool) -> dict[str, Any]:
    """Arguments without the nulls that tables add for the keys of other rows.

    A null stays where the tool's `schema` says that the value may be null. Of arguments that came as text only keys
    that the tool does not have are padding: someone wrote the others.
    """
    known = schema.get("properties")
    properties: dict[str, Any] = known if isinstance(known, dict) else {}
    required = schema.get("required") or ()
    kept = {}
    for key, value in values.items():
        inner_schema = properties.get(key)
        if value is None and (
            (bool(properties) and key not in properties) if as_text else not takes_null(inner_schema)
        ):
            continue
        stripped = _inner(value, inner_schema if isinstance(inner_schema, dict) else {}, as_text)
        if isinstance(value, dict) and value and not stripped and key not in required:
            continue
        kept[key] = stripped
    return kept


def _inner(value: Any, schema: dict[str, Any], as_text: bool) -> Any:
    if isinstance(value, dict):
        return arguments_without_padding(value, schema, as_text=as_text)
    if isinstance(value, list):
        items = schema.get("items")
        return [_inner(item, items if isinstance(items, dict) else {}, as_text) for item in value]
    return value


def _tool(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise BadTool("bad_tools")
    item = without_nulls(item)
    for wrapper in ("function", "toolSpec"):
        inner = as_value(item.get(wrapper))
        if isinstance(inner, dict):
            beside = {key: kept for key, kept in item.items() if key not in ("type", wrapper)}
            return {"type": "function", "function": _function(without_nulls(inner)), **beside}
    beside = {key: kept for key, kept in item.items() if key != "type" or not isinstance(kept, str)}
    return {"type": "function", "function": _function(beside)}


def _function(function: dict[str, Any]) -> dict[str, Any]:
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise BadTool("bad_tools")
    return {("parameters" if key in SCHEMAS else key): _schema(key, kept) for key, kept in function.items()}


def _schema(key: str, value: Any) -> Any:
    """A schema that came as JSON text, or below `json` as Bedrock has it; any other value of a definition as it is."""
    if key not in SCHEMAS:
        return value
    value = as_value(value)
    if isinstance(value, dict) and set(value) == {"json"}:
        value = as_value(value["json"])
    if not isinstance(value, dict):
        raise BadTool("bad_tools")
    return without_nulls(value)


def _small_types(schema: Any) -> Any:
    """A schema with the names of types as JSON Schema has them: Gemini writes OBJECT and STRING."""
    if isinstance(schema, list):
        return [_small_types(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: kept.lower() if key == "type" and isinstance(kept, str) else _small_types(kept)
        for key, kept in schema.items()
    }
