"""params.yaml as a whole: its typed model, its JSON Schema (`python -m flows.settings` writes it), and changes to it.

`--set train.learning_rate=1e-4` and `--recipe FILE` change params.yaml itself, comments kept: then `dvc repro` and
`dvc status` agree with the run, and the file shows what ran.
"""

import copy
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from flows.reasons import parameters
from tasks import (
    align,
    base,
    clean,
    decide,
    evaluate,
    export,
    generate,
    judge,
    merge,
    quantize,
    report,
    template,
    train,
)
from tasks.contract.errors import SettingsError
from tasks.contract.files import written
from tasks.contract.settings import PARAMS, Settings, load, read

SCHEMA = "params.schema.json"


class Machine(Settings):
    """The machine that runs this. No stage depends on it."""

    price: Annotated[float, Field(ge=0)] = 0.0
    """Of an hour, in any currency, for what training will cost and did; 0: cost is not told."""


class Params(Settings):
    """All settings of a run, a section for each stage."""

    base: base.Settings
    """The base model."""
    generate: generate.Settings
    """Synthetic rows."""
    clean: clean.Settings
    """Reading, checking, deduplicating and splitting rows."""
    template: template.Settings
    """Rows to token ids and labels."""
    train: train.Settings
    """Fine-tuning."""
    align: align.Settings
    """Learning from preferences."""
    merge: merge.Settings
    """Base and adapter to one model."""
    quantize: quantize.Settings
    """Smaller copies of the model."""
    export: export.Settings
    """The model as other places want it."""
    evaluate: evaluate.Settings
    """Scores on the held-out rows."""
    judge: judge.Settings
    """A teacher's verdict on answers."""
    decide: decide.Settings
    """Whether the tuned model is worth shipping."""
    report: report.Settings
    """The page and the model card."""
    machine: Machine = Machine()
    """What it costs."""


def check(path: Path = Path(PARAMS)) -> None:
    """Raise `SettingsError` with every fault in params.yaml."""
    load(Params, path)


def schema() -> str:
    """The JSON Schema of params.yaml, as text; editors complete from it (params.yaml names it in its first line)."""
    document = Params.model_json_schema()
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

    The new file is verified first; where it has faults, the old one stays. Values are YAML 1.2.
    """
    if not (assignments or recipe or values):
        return []
    document = read(path)
    before = copy.deepcopy(document)
    if recipe is not None:
        overlay(document, read(recipe))
    if values is not None:
        overlay(document, values)
    for assignment in assignments:
        _assign(document, assignment)
    changes = parameters(before, document)
    if not changes:
        return []
    text = io.StringIO()
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 4096
    yaml.indent(sequence=4, offset=2)
    yaml.dump(document, text)
    with written(path) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")
        try:
            verify(aside)
            YAML(typ="safe").load(text.getvalue())  # as DVC reads it
        except YAMLError as error:
            raise SettingsError(
                f"{path} (as it would be) cannot be read by DVC: {' '.join(str(error).split())}"
            ) from None
        except SettingsError as error:
            raise SettingsError(str(error).replace(str(aside), f"{path} (as it would be)")) from None
    return changes


def nested(assignments: list[str]) -> dict[str, Any]:
    """`key=value` assignments as the values that they put over params.yaml."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        _assign(values, assignment)
    return values


def overlay(document: Any, values: Mapping[str, Any]) -> None:
    """Put `values` over `document`: sections merge key by key, everything else replaces.

    A form in a browser sends 0 for 0.0, which DVC's run cache tells apart: what was a float stays one.
    """
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), Mapping):
            overlay(document[key], value)
        else:
            old = document.get(key)
            document[key] = _kept(old, float(value) if isinstance(old, float) and type(value) is int else value)


def _assign(document: Any, assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"--set {assignment}: expected KEY=VALUE, such as train.learning_rate=1e-4.")
    try:
        value = YAML(typ="rt").load(text) if text.strip() else None
    except YAMLError as error:
        fault = " ".join(str(error).split())
        raise SettingsError(f"--set {assignment}: the value is not valid YAML: {fault}") from None
    *sections, key = name.strip().split(".")
    place = document
    for section in sections:
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, Mapping):
            raise SettingsError(f"--set {assignment}: '{section}' is a value, not a section.")
    place[key] = _kept(place.get(key), value)


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


class _Representer(RoundTripRepresenter):
    """Writes `null`, as it stands in the file, where ruamel writes nothing."""

    def represent_none(self, data: Any) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


if __name__ == "__main__":
    with written(Path(SCHEMA)) as schema_file:
        schema_file.write_text(schema())
