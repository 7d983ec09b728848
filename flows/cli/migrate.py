"""`temper import`: the settings of another tool as a recipe, with a table of what became of every key."""

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import InputError
from tasks.core.files import write_text
from tasks.core.numbers import counted
from tasks.core.paths import PATHS

if TYPE_CHECKING:
    from flows.migrate.conversion import Conversion

NAMES = ("axolotl", "llama-factory", "torchtune", "trl", "openai", "unsloth")
VERDICTS = {"mapped": "green", "same": "dim", "refused": "red", "without": "yellow"}


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this command to those of `temper`."""
    about = "convert another tool's settings into a recipe, and report on each key"
    command = commands.add_parser("import", help=about)
    command.add_argument("file", type=Path, metavar="FILE", help="YAML, JSON, a command line (.sh), a notebook")
    command.add_argument("--tool", choices=NAMES, help="the tool that they are for; default: recognised by their keys")
    command.add_argument("--recipe", type=Path, metavar="FILE", help="where to write it; default: NAME.recipe.yaml")
    command.set_defaults(act=_import)


def _import(options: argparse.Namespace) -> int:
    from flows.migrate.read import convert

    target = options.recipe or Path(f"{options.file.stem}.recipe.yaml")
    if target.exists():
        raise InputError(f"{target}: already exists; pass another name with --recipe.")
    conversion = convert(options.file, options.tool)
    _print(conversion)
    text = _recipe(conversion, options.file.name)
    _check(text)
    write_text(target, text)
    counts = conversion.counts()
    print(
        f"\n{counted(len(conversion.lines), 'keys')} of {conversion.tool}: {counts['mapped']} mapped, "
        f"{counts['same']} the same by default, {counts['refused']} refused, {counts['without']} without counterpart."
    )
    print(f"Written: {target}   Next: temper run --recipe {target}")
    return 0


def _recipe(conversion: "Conversion", name: str) -> str:
    """The recipe as YAML; what is left to the user stands in comments."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(conversion.values, text)
    left = [f"# {_plain(f'{line.key}: {line.what}')}\n" for line in conversion.lines if line.verdict == "refused"]
    return f"# From {name}, settings of {conversion.tool}. Not taken over:\n{''.join(left)}{text.getvalue()}"


def _plain(text: str) -> str:
    """A text of strangers on one line, so that no comment of a recipe becomes a key."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


def _check(text: str) -> None:
    """Raise `InputError` where params.yaml would not take the recipe."""
    from pydantic import ValidationError

    from flows.params.defaults import defaults
    from flows.params.model import model, overlay
    from tasks.core.yaml_files import parse

    values = defaults(model())
    try:
        overlay(values, parse(text, "safe"))
        model().model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{key} (as it would be): {reason}; fix the file, then import it again.") from None
    except ValueError as error:
        raise InputError(f"the recipe (as it would be) is {error}; fix the file, then import it again.") from None


def _print(conversion: "Conversion") -> None:
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from flows.migrate.conversion import shown

    table = Table(box=None, pad_edge=False, show_edge=False)
    for name, ratio in (("key", 4), ("value", 3), ("", 1), (str(PATHS.params), 7)):
        table.add_column(name, ratio=ratio, overflow="fold", min_width=8 if name else 7)
    for line in conversion.lines:
        cells = (line.key, shown(line.value), line.verdict, line.what)
        table.add_row(
            *(Text("".join(sign for sign in cell if sign.isprintable())) for cell in cells[:2]),
            Text(line.verdict, VERDICTS[line.verdict]),
            Text(line.what),
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 110).print(table)
