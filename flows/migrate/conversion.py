"""What becomes of the keys of another tool: values of params.yaml, and a line for each key."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["mapped", "same", "refused", "without"]
"""A key of params.yaml has its value; params.yaml says the same by default; temper does not do that, for a reason; or
there is nothing here that it could set."""


@dataclass(frozen=True)
class Line:
    """What became of one key."""

    key: str
    value: Any
    verdict: Verdict
    what: str
    """The key and value of params.yaml, or the reason."""


@dataclass
class Conversion:
    """A recipe that grows key by key."""

    tool: str
    folder: Path
    """From which relative paths in the file lead."""
    values: dict[str, Any] = field(default_factory=dict)
    """Sections of params.yaml."""
    lines: list[Line] = field(default_factory=list)
    stage: str = "train"
    """The stage that trains: train, or align where the file is about preferences or rewards."""

    def set(self, key: str, value: Any, target: str, own: Any = ..., note: str = "") -> None:
        """Map a key to `target` of params.yaml (dotted; STAGE stands for the stage that trains)."""
        own = value if own is ... else own
        target = target.replace("STAGE", self.stage)
        self.put(target, own)
        self.lines.append(Line(key, value, "mapped", f"{target}: {shown(own)}{f' ({note})' if note else ''}"))

    def put(self, target: str, value: Any) -> None:
        """Give `target` a value that no single key asked for."""
        section = self.values
        *names, last = target.replace("STAGE", self.stage).split(".")
        for name in names:
            section = section.setdefault(name, {})
        section[last] = value

    def start_from_base(self) -> None:
        """Leave out `train`: what is learned from preferences or rewards starts from the base."""
        self.put("train.enabled", False)
        self.put("align.start", "base")

    def take_back(self, target: str, verdict: Verdict, why: str) -> None:
        """Give `target` no value after all; the lines that gave it one say why."""
        target = target.replace("STAGE", self.stage)
        *names, last = target.split(".")
        section = self.values
        for name in names:
            section = section.get(name, {})
        section.pop(last, None)
        self.lines = [
            replace(line, verdict=verdict, what=why) if line.what.startswith(f"{target}: ") else line
            for line in self.lines
        ]

    def same(self, key: str, value: Any, why: str) -> None:
        """Say that params.yaml says the same by default."""
        self.lines.append(Line(key, value, "same", why))

    def refuse(self, key: str, value: Any, why: str) -> None:
        """Say why temper does not do that."""
        self.lines.append(Line(key, value, "refused", why))

    def without(self, key: str, value: Any, why: str) -> None:
        """Say that there is nothing here for it."""
        self.lines.append(Line(key, value, "without", why))

    def apply(self, rules: Mapping[str, "Rule"], given: Mapping[str, Any], prefix: str = "") -> None:
        """Carry out the rule of each key; a key that no rule knows is without counterpart. A null was left open."""
        for key, value in given.items():
            name = f"{prefix}{key}"
            rule = rules.get(key)
            if value is None or value == "" or value == {}:
                self.same(name, value, "left open")
            elif rule is None:
                self.without(name, value, f"unknown, or from an unsupported version of {self.tool}")
            else:
                rule(self, name, value)

    def counts(self) -> Counter[str]:
        """Keys by what became of them."""
        return Counter(line.verdict for line in self.lines)


Rule = Callable[[Conversion, str, Any], None]


@dataclass(frozen=True)
class Dataset:
    """One of several data sets, as a part of `clean.mix` has it."""

    key: str
    name: Any
    path: Path
    """A file, or a folder of files, on this machine."""
    part: Mapping[str, Any] = field(default_factory=dict)
    """`cap`, `share` and `probability`, as far as they are set."""


def mixed(conversion: Conversion, datasets: Sequence[Dataset]) -> None:
    """Read all `datasets` from the folder that they have in common, each as a part of `clean.mix`."""
    folder = Path(os.path.commonpath([dataset.path.parent for dataset in datasets]))
    patterns = [escape(dataset.path.relative_to(folder).as_posix()) for dataset in datasets]
    patterns = [
        f"{name}/*" if dataset.path.is_dir() else name for name, dataset in zip(patterns, datasets, strict=True)
    ]
    conversion.put("clean.input", here(folder))
    conversion.put("generate.recipe", "none")
    parts = [{"files": name, **dataset.part} for name, dataset in zip(patterns, datasets, strict=True)]
    for dataset, part in zip(datasets, parts, strict=True):
        values = ", ".join(f"{name} {shown(value)}" for name, value in part.items())
        what = f"clean.input: {shown(here(folder))}; clean.mix: {values}"
        conversion.lines.append(Line(dataset.key, dataset.name, "mapped", what))
    by_turns = any("probability" in part for part in parts)
    if others := _others(folder, datasets):
        if by_turns:
            conversion.refuse(
                datasets[0].key, ", ".join(others), f"they are in {here(folder)} too, but clean.interleave needs every "
                "file in a part of clean.mix: put the files of the mix into a folder of their own",
            )  # fmt: skip
        else:
            parts.append({"files": "*", "share": 0})
    if others or any(dataset.part for dataset in datasets):
        # a file belongs to the first part whose pattern fits, from the right: longer patterns come first
        conversion.put("clean.mix", sorted(parts, key=lambda part: (part["files"] == "*", -part["files"].count("/"))))


def _others(folder: Path, datasets: Sequence[Dataset]) -> list[str]:
    """Further data files in `folder`, which is read whole; the first three."""
    from tasks.clean.files import BESIDE
    from tasks.clean.formats import ENDINGS, ending

    named = {file for dataset in datasets for file in (dataset.path, *dataset.path.glob("*"))}
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in BESIDE)
    return [file.name for file in files if ending(file) in ENDINGS and file not in named][:3]


def here(path: Path) -> str:
    """`path` as params.yaml has it: relative to the project where it lies in it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def to(target: str, own: Callable[[Any], Any] = lambda value: value, note: str = "") -> Rule:
    """A rule: `target` gets the value, changed by `own`; where that raises `ValueError`, the value is refused."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        try:
            conversion.set(key, value, target, own(value), note)
        except ValueError as error:
            conversion.refuse(key, value, str(error))

    return rule


def off(why: str, values: Any = (False, 0, "no", "none", "disabled")) -> Rule:
    """A rule: switched off it is the same here; else it is refused, for `why`."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        if value in values:
            conversion.same(key, value, "off here too")
        else:
            conversion.refuse(key, value, why)

    return rule


def always(why: str, values: Any = (True,)) -> Rule:
    """A rule: what is asked for is always done here; the opposite is refused."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        if value in values:
            conversion.same(key, value, why)
        else:
            conversion.refuse(key, value, f"cannot be switched off: {why}")

    return rule


def aside(why: str) -> Rule:
    """A rule: nothing here for it, for `why`."""
    return lambda conversion, key, value: conversion.without(key, value, why)


def switch(target: str, own: Any, otherwise: str) -> Rule:
    """A rule: switched on, `target` gets the value `own`; off is the same by default, which `otherwise` says."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        if value:
            conversion.set(key, value, target, own)
        else:
            conversion.same(key, value, otherwise)

    return rule


def shown(value: Any) -> str:
    """A value as params.yaml has it, on one line."""
    from flows.params.diff import shown as as_written

    return as_written(value)
