"""What becomes of the keys of another tool: values of params.yaml, and a line for each key."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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


def to(target: str, own: Callable[[Any], Any] = lambda value: value, note: str = "") -> Rule:
    """A rule: `target` gets the value, changed by `own`; where that raises `ValueError`, the value is refused."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        try:
            conversion.set(key, value, target, own(value), note)
        except ValueError as error:
            conversion.refuse(key, value, str(error))

    return rule


def off(why: str, said: Any = (False, 0, "no", "none", "disabled")) -> Rule:
    """A rule: switched off it is the same here; else it is refused, for `why`."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        if value in said:
            conversion.same(key, value, "off here too")
        else:
            conversion.refuse(key, value, why)

    return rule


def always(why: str, said: Any = (True,)) -> Rule:
    """A rule: what is asked for is always done here; the opposite is refused."""

    def rule(conversion: Conversion, key: str, value: Any) -> None:
        if value in said:
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
