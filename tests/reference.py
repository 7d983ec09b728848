"""Pages of the reference that are made of the code: `python -m tests.reference` writes them.

docs/commands.md is made of the parsers of the command line, docs/registries.md of the stages, of what settings may
name, and of what a run shows. `test_reference.py` compares both with what is in git.
"""

import argparse
import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from flows.cli.main import _parser as parser
from flows.deploy.events import EVENT
from flows.run.progress import CURVES
from tasks.align.objectives import OBJECTIVES
from tasks.align.rewards import REWARDS
from tasks.audit.__main__ import parser as audit
from tasks.core.paths import PATHS
from tasks.evaluate.metrics.registry import METRICS
from tasks.look.__main__ import parser as look
from tasks.quantize.schemes import SCHEMES
from tasks.stages import stages
from tasks.training.methods import METHODS
from tests.flows.project import ROOT

MADE = "Made of the code by `python -m tests.reference`.\n"

APART = {"audit": audit, "look": look}
"""Commands whose line another parser reads."""


def commands() -> str:
    """Each command with its arguments, as Markdown."""
    main = parser()
    lines = ["# Commands", "", MADE, *_command("temper", main, ""), ""]
    for name, command, about in _below(main):
        lines += [f"## temper {name}", "", f"{_sentence(about)}", ""]
        reader = APART[name]() if name in APART else command
        lines += [*_command(f"temper {name}", reader, ""), ""]
        for action, inner, what in _below(reader):
            lines += [*_command(f"temper {name} {action}", inner, what), ""]
    return "\n".join(lines).rstrip() + "\n"


def _below(command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Name, parser and help of each command below `command`."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            yield from ((name, inner, helps.get(name, "")) for name, inner in action.choices.items())


def _command(line: str, command: argparse.ArgumentParser, about: str) -> list[str]:
    arguments = [action for action in command._actions if action.dest != "help"]
    optional = [action for action in arguments if action.option_strings]
    positional = [action for action in arguments if not action.option_strings]
    words = [line, *(["[OPTION ...]"] if optional else []), *(_operand(action) for action in positional)]
    shown = [f"    {' '.join(words)}", *(["", _sentence(about)] if about else [])]
    rows = [
        (_name(action), action.help or "") for action in arguments if not isinstance(action, argparse._SubParsersAction)
    ]
    return shown if not rows else [*shown, "", *_table(("argument", ""), rows)]


def _operand(action: argparse.Action) -> str:
    name = _metavar(action)
    many = {"*": f"[{name} ...]", "+": f"{name} ...", "?": f"[{name}]"}
    return many.get(str(action.nargs), name)


def _name(action: argparse.Action) -> str:
    """As it is typed: `--option VALUE`, or the name of what stands alone."""
    if not action.option_strings:
        return f"`{_metavar(action)}`"
    value = {"0": "", "?": f" [{_metavar(action)}]", "*": f" [{_metavar(action)} ...]"}
    return f"`{', '.join(action.option_strings)}{value.get(str(action.nargs), f' {_metavar(action)}')}`"


def _metavar(action: argparse.Action) -> str:
    if action.metavar:
        return str(action.metavar)
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text and not text.endswith(".") else text


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "|---" * len(cells[0]) + "|", *lines[1:]]


def registries() -> str:
    """What settings may name, the stages, and what a run shows, as Markdown."""
    parts = {
        "Stages": _table(
            ("stage", "what for", "entries of dvc.yaml", "what it writes"),
            [
                (
                    f"`{one.name}`",
                    one.about,
                    ", ".join(f"`{entry.name or one.name}`" for entry in one.entries),
                    ", ".join(f"`{file}`" for entry in one.entries for file in (*entry.outputs, *entry.metrics)),
                )
                for one in stages()
            ],
        ),
        "Methods of training": [
            "`train.method`. [training-methods.md](training-methods.md) says how each was tried.",
            "",
            *_table(
                ("method", "kind of peft", "on a quantised base", "keys of `train.peft` that it needs"),
                [
                    (f"`{name}`", one.kind or "none: the model's own weights", _yes(one.quantized), _codes(one.needs))
                    for name, one in METHODS.items()
                ],
            ),
        ],
        "Objectives": [
            "`align.objective`.",
            "",
            *_table(
                ("objective", "what it learns from", "`loss_type`"),
                [(f"`{name}`", one.about, _codes(one.losses)) for name, one in OBJECTIVES.items()],
            ),
        ],
        "Rewards": [
            "`align.rewards`.",
            "",
            *_table(
                ("reward", "", "keys that it needs"),
                [(f"`{name}`", one.about, _codes(one.needs)) for name, one in REWARDS.items()],
            ),
        ],
        "Metrics": [
            "`evaluate.metrics`. [evaluate.md](evaluate.md) says how they are compared.",
            "",
            *_table(
                ("metric", "what scores well", "keys that it needs"),
                [(f"`{name}`", one.about, _codes(one.needs)) for name, one in METRICS.items()],
            ),
        ],
        "Schemes": [
            "`quantize.schemes`. [support.md](support.md#schemes-of-quantize) says which were tried.",
            "",
            *_table(
                ("scheme", "bits a weight", "package that it needs"),
                [(f"`{name}`", f"{one.bits:g}", one.package) for name, one in SCHEMES.items()],
            ),
        ],
        "Artifacts": [
            "What the page of a flow run in the Prefect UI shows under *Artifacts*, beside the bars of stages at work.",
            "",
            *_table(("key", "what it shows"), [(f"`{key}`", text) for key, text in artifacts()]),
        ],
        "Events": [
            "What temper tells the Prefect server; automations can wait for it.",
            "",
            *_table(
                ("event", "when", "payload"),
                [
                    (f"`{EVENT}`", f"`temper data add` tracked files below `{PATHS.data}`", "`revision`, `paths`"),
                    ("`temper.model.promoted`", "`retrain` registered its model", "`experiment`, `commit`, `reason`"),
                    ("`temper.model.kept`", "`retrain` left the registered model", "the same"),
                ],
            ),
        ],
    }
    sections = [f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in parts.items()]
    return f"# Stages, and what settings may name\n\n{MADE}\n" + "\n".join(sections)


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def artifacts() -> list[tuple[str, str]]:
    """Key and description of every artifact of a fixed key that the flows make, in the order of the alphabet."""
    known = {key: f"Loss, or reward, by step of {stage}." for stage, key in CURVES.items()}
    for file in (ROOT / "flows").rglob("*.py"):
        tree = ast.parse(file.read_text())
        named = {ast.unparse(one.targets[0]): one.value for one in ast.walk(tree) if isinstance(one, ast.Assign)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("create_"):
                words = {word.arg: word.value for word in node.keywords}
                key, text = words.get("key"), words.get("description")
                if isinstance(key, ast.Constant):
                    known[str(key.value)] = _described(named[text.id] if isinstance(text, ast.Name) else text)
    return sorted(known.items())


def _described(text: ast.expr | None) -> str:
    """A string, or an f-string with the names of its values."""
    if isinstance(text, ast.JoinedStr):
        return "".join(_described(part) for part in text.values)
    if isinstance(text, ast.FormattedValue):
        return f"the {ast.unparse(text.value)}"
    assert isinstance(text, ast.Constant)
    return str(text.value)


PAGES = {Path("docs/commands.md"): commands, Path("docs/registries.md"): registries}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (ROOT / page).write_text(text())
