"""docs/params.md: every key of params.yaml with its default and its meaning, from the models that check it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.params.model import model
from tasks.core.paths import PATHS
from tasks.core.settings import REFERENCE, models_in

PAGE = Path(REFERENCE)

HEAD = f"""# Every key of {PATHS.params}

Each stage of a run has a section with its keys. A key that your file does not have takes its default. `temper config
diff` lists the keys of yours that differ, and `temper check` finds misspelt ones. Keys within keys are joined by dots,
as in `temper run --set train.lora.r=32`; `[]` stands for each item of a list, or each name.
"""


def page() -> str:
    """The page, as Markdown."""
    return HEAD + "".join(_section(name, field) for name, field in model().model_fields.items())


def _section(name: str, field: FieldInfo) -> str:
    settings = field.annotation
    assert isinstance(settings, type) and issubclass(settings, BaseModel)
    lines = [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in _keys(settings, "")]
    head = f"\n## {name}\n\n{field.description}\n\n| key | default | |\n|---|---|---|\n"
    return head + "\n".join(lines) + "\n"


def _keys(settings: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of each key, nested ones after the key that holds them."""
    schema = settings.model_json_schema()["properties"]
    for key, field in settings.model_fields.items():
        inner = next(iter(models_in(field.annotation)), None)
        holds = inner is field.annotation
        yield f"{prefix}{key}", "" if holds else f"`{_shown(field)}`", _cell(_meaning(schema[key]))
        if inner is not None:
            yield from _keys(inner, f"{prefix}{key}{'[]' if _has_items(field.annotation) else ''}.")


def _has_items(annotation: Any) -> bool:
    """Whether a key of this type holds a list, or names with a value each."""
    if get_origin(annotation) in (list, tuple, dict):
        return True
    return any(_has_items(part) for part in get_args(annotation))


def _meaning(schema: dict[str, Any]) -> str:
    """The description of a key, with the values that it may have where the description leaves one out."""
    text: str = schema.get("description", "")
    values = list(_values(schema))
    return f"{text} Values: {', '.join(values)}." if any(value not in text for value in values) else text


def _values(schema: Any) -> Iterator[str]:
    """The names that a key may have as its value, or as an item of it."""
    for part in (schema, *schema.get("anyOf", ()), schema.get("items", {})):
        yield from (value for value in (*part.get("enum", ()), part.get("const")) if isinstance(value, str))


def _shown(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    return json.dumps(value, default=lambda one: one.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)


def _cell(text: str) -> str:
    lines = [" ".join(line.split()).replace("|", "\\|") for line in text.split("\n- ")]
    return "<br>".join([lines[0], *(f"- {line}" for line in lines[1:])])
