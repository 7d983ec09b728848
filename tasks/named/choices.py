"""Settings that name an entry of a registry, such as a metric or a scheme."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel


def hint(name: str, known: Collection[str], what: str = "known") -> str:
    """What to say of an unknown `name`: the nearest of those that are known, or all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"{what}: {', '.join(sorted(known))}."


class Described(Protocol):
    """An entry of a registry."""

    @property
    def about(self) -> str:
        """What it is, in a phrase."""


class Keyed(Described, Protocol):
    """An entry that needs keys of its own beside its name."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Those keys; an entry that does not need one of them must not be given it."""


@dataclass(frozen=True)
class Choice:
    """A setting that is the name of an entry of a registry, so that the names are written there and nowhere else.

    Kind = Annotated[str, AfterValidator(KINDS.known), Field(json_schema_extra=KINDS.describe)]
    """

    what: str
    """What an entry is, such as `metric`, for messages."""
    entries: Mapping[str, Described]

    def known(self, name: str) -> str:
        """`name`; raises `ValueError` with the nearest known name where there is no such entry."""
        if name not in self.entries:
            raise ValueError(f"unknown {self.what}; {hint(name, self.entries)}")
        return name

    def describe(self, schema: dict[str, Any]) -> None:
        """Add the names and what they are to the JSON schema of the setting: an editor lists and a form shows them."""
        lines = [f"- `{name}`: {entry.about}" for name, entry in self.entries.items()]
        schema["enum"] = list(self.entries)
        schema["enumDescriptions"] = [entry.about for entry in self.entries.values()]
        schema["description"] = "\n".join([schema.get("description", ""), *lines]).strip()


def check_keys(settings: BaseModel, what: str, name: str, entries: Mapping[str, Keyed]) -> None:
    """Raise `ValueError` where `settings` lacks a key that the entry `name` needs, or has one that another needs."""
    for key in sorted({key for entry in entries.values() for key in entry.needs}):
        needed, has = key in entries[name].needs, getattr(settings, key) not in (None, "")
        if needed and not has:
            raise ValueError(f"the {what} {name} needs the key {key}")
        if has and not needed:
            users = " or ".join(other for other, entry in entries.items() if key in entry.needs)
            raise ValueError(f"the key {key} is for the {what} {users}; {key} has no effect on {name}, so remove it")
