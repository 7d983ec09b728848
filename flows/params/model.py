"""params.yaml as a whole: its model, its JSON Schema (`python -m flows.params` writes it), and changes to it.

`--set train.learning_rate=1e-4` and `--recipe FILE` change params.yaml itself, comments kept: then `dvc repro` and
`dvc status` agree with the run, and the file shows what ran.
"""

import copy
import io
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, create_model
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from flows.params.comments import editable, explain
from flows.params.defaults import defaults, reset
from flows.params.diff import parameters
from tasks.core.errors import SettingsError
from tasks.core.files import write_text, written
from tasks.core.settings import PARAMS, Settings, load
from tasks.core.yaml_files import parse
from tasks.engine.settings import Machine
from tasks.stages import stages

SCHEMA = "params.schema.json"


class Params(Settings):
    """All settings of a run: a section for each stage that is declared, and the machine's."""

    machine: Machine = Machine()
    """Where a run is computed, and what an hour of that costs."""

    if TYPE_CHECKING:

        def __getattr__(self, section: str) -> Any:
            """The settings of a stage, by its name."""


@cache
def model() -> type[Params]:
    """The model of params.yaml, with a section for each stage in their order."""
    sections: dict[str, Any] = {stage.name: (stage.settings, Field(description=stage.about)) for stage in stages()}
    whole: type[Params] = create_model("Params", __base__=Params, **sections)
    machine = whole.model_fields.pop("machine")
    whole.model_fields["machine"] = machine  # the last section, as in the file
    whole.model_rebuild(force=True)
    return whole


def check(path: Path = Path(PARAMS)) -> None:
    """Raise `SettingsError` with every fault in params.yaml."""
    load(model(), path)


def schema() -> str:
    """The JSON Schema of params.yaml, as text; editors complete from it (params.yaml names it in its first line)."""
    document = model().model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **document}, indent=2) + "\n"


def change(
    assignments: list[str],
    recipe: Path | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    path: Path = Path(PARAMS),
    verify: Callable[[Path], None] = check,
) -> list[str]:
    """Apply a recipe, `values` and `key=value` assignments to params.yaml; return a line for each key that changed.

    A recipe starts from the defaults: every key that it does not name goes back to its own.

    The new file is verified first; where it has faults, the old one stays. Values are YAML 1.2.

    Example:

        change(["train.learning_rate=1e-4"])  # ["train.learning_rate 0.0002 -> 0.0001"]
    """
    if not (assignments or recipe or values):
        return []
    document = editable(path)
    before = copy.deepcopy(document)
    if recipe is not None:
        reset(document, defaults(model()))  # so that a recipe gives the same settings whatever was set before
        overlay(document, editable(recipe))
    if values is not None:
        overlay(document, values)
    for assignment in assignments:
        _assign(document, assignment)
    return save(document, before, path, verify)


def rehearse(assignments: list[str]) -> None:
    """Raise `SettingsError` where `change` would; params.yaml stays as it is."""
    with TemporaryDirectory() as folder:
        copied = Path(folder) / PARAMS
        copied.write_bytes(Path(PARAMS).read_bytes())
        try:
            change(assignments, path=copied)
        except SettingsError as error:
            raise SettingsError(str(error).replace(str(copied), PARAMS)) from None


def save(document: Any, before: Any, path: Path = Path(PARAMS), verify: Callable[[Path], None] = check) -> list[str]:
    """Write `document` to params.yaml where it differs from `before`; returns a line for each key that changed.

    It is verified first; where it has faults, the old file stays. `temper config undo` brings `before` back.
    """
    _restore_floats(document, before)
    _close_emptied(document)
    changes = parameters(before, document)
    if not changes:
        return []
    text = _as_text(document)
    with written(path) as aside:
        aside.write_text(text, encoding="utf-8")
        try:
            verify(aside)
            parse(text, "safe")  # as DVC reads it
        except ValueError as error:
            raise SettingsError(f"{path} with this change cannot be read by DVC: {error}.") from None
        except SettingsError as error:
            raise SettingsError(str(error).replace(str(aside), f"{path} (as it would be)")) from None
    return changes


def explain_keys(path: Path = Path(PARAMS)) -> None:
    """Write into params.yaml beside each key without a comment what it is, as a recipe adds keys."""
    document = editable(path)
    explain(document, model())
    write_text(path, _as_text(document))


def nested(assignments: list[str]) -> dict[str, Any]:
    """`key=value` assignments as the values that they put over params.yaml."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        _assign(values, assignment)
    return values


def overlay(document: Any, values: Mapping[str, Any]) -> None:
    """Put `values` over `document`: sections merge key by key, everything else replaces."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), Mapping):
            overlay(document[key], value)
        else:
            document[key] = _kept(document.get(key), value)


def _close_emptied(document: Any) -> None:
    """Have `{}` stand before the comment of a section that has lost its keys, which ruamel puts below the comment."""
    for key, value in document.items():
        if isinstance(value, CommentedMap) and not value and value.ca.comment:
            document[key] = CommentedMap()
            document[key].fa.set_flow_style()
        elif isinstance(value, Mapping):
            _close_emptied(value)


def _restore_floats(document: Any, before: Any) -> None:
    """Write 0.0 where 0 is new for a number with fractions, as a form in a browser sends it: DVC tells them apart."""
    try:
        values = model().model_validate(json.loads(json.dumps(document))).model_dump(mode="json")
    except (ValidationError, TypeError):  # `verify` says what is wrong
        return
    _as_floats(document, before, values)


def _as_floats(document: Any, before: Any, values: Any) -> None:
    for key, value in document.items():
        old, validated = before.get(key) if isinstance(before, Mapping) else None, values.get(key)
        if isinstance(value, Mapping) and isinstance(validated, Mapping):
            _as_floats(value, old, validated)
        elif value != old and type(validated) is float and isinstance(value, int):
            document[key] = float(value)


def _assign(document: Any, assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"--set {assignment}: expected KEY=VALUE, such as train.learning_rate=1e-4.")
    try:
        value = parse(text) if text.strip() else None
    except ValueError as error:
        raise SettingsError(f"--set {assignment[:80]}: the value is {error}.") from None
    *sections, key = name.strip().split(".")
    parent = document
    for section in sections:
        if parent.get(section) is None:
            parent[section] = {}
        parent = parent[section]
        if not isinstance(parent, Mapping):
            raise SettingsError(f"--set {assignment}: '{section}' is a value, not a section.")
    parent[key] = _kept(parent.get(key), value)


def _kept(old: Any, new: Any) -> Any:
    """`new`, unless it says what lies there already, so that comments and ways of writing stay."""
    return old if _same(old, new) else _quoted(new) if isinstance(new, Mapping | list) else new


def _quoted(value: Any) -> Any:
    """`value` with quotes around texts with a colon, which DVC's parser (YAML 1.1) takes for a key in `{url: http://x}`."""
    if isinstance(value, list):
        value[:] = [_quoted(item) for item in value]
    elif isinstance(value, dict):
        value.update({key: _quoted(item) for key, item in value.items()})
    elif isinstance(value, str) and ":" in value:
        return DoubleQuotedScalarString(value)
    return value


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(*pair) for pair in zip(old, new, strict=True))
    return bool(old == new) and isinstance(old, bool) is isinstance(new, bool)


def _as_text(document: Any) -> str:
    text = io.StringIO()
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 4096
    yaml.indent(sequence=4, offset=2)
    yaml.dump(document, text)
    return text.getvalue()


class _Representer(RoundTripRepresenter):
    """Writes `null`, as it stands in the file, where ruamel writes nothing."""

    def represent_none(self, data: Any) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)
