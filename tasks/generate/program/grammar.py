"""The grammar in the seed folder: `assistant.yaml`, `slots.yaml` and `intents.yaml`, read and checked."""

import itertools
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.settings import read
from tasks.generate.program.distance import check
from tasks.generate.program.intents import SLOT, Grammar, Intent

CARD = ("title", "purpose", "licence", "limits")
"""What a seed may have the model card say."""


def slot_names(pattern: str) -> list[str]:
    """Names of the slots in `pattern`, in order."""
    return [match[1] for match in SLOT.finditer(pattern)]


def load(folder: Path) -> Grammar:
    """Read the seed folder.

    Raises `InputError` naming file and key: a missing file, an unknown slot or kind, a phrasing that lacks a slot of
    its command or occurs twice, or two intents whose phrasings could make near-duplicates.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; a seed has assistant.yaml, slots.yaml and intents.yaml.")
    assistant, slots, described = (_mapping(folder / f"{name}.yaml") for name in ("assistant", "slots", "intents"))
    path = folder / "assistant.yaml"
    for key in ("name", "description"):
        if not isinstance(assistant.get(key), str):
            raise InputError(f"{path}: the key '{key}' is missing or not text; add it.")
    values = {str(kind): _values(folder / "slots.yaml", str(kind), entry) for kind, entry in slots.items()}
    intents = tuple(_intent(folder / "intents.yaml", str(name), entry, values) for name, entry in described.items())
    system, card = assistant.get("system"), assistant.get("card") or {}
    if not isinstance(card, dict) or not all(isinstance(text, str) for text in card.values()):
        raise InputError(f"{path}: 'card' must have a text for each of {', '.join(CARD)}; fix it.")
    if unknown := sorted(set(card) - set(CARD)):
        raise InputError(f"{path}: card.{unknown[0]}: no such key; known: {', '.join(CARD)}.")
    grammar = Grammar(
        name=str(assistant["name"]),
        description=str(assistant["description"]),
        system=None if system is None else str(system),
        openings=tuple(map(str, assistant.get("openings") or [""])),
        values=values,
        intents=intents,
        card=dict(card),
    )
    check(grammar, folder / "intents.yaml")
    return grammar


def _mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; the seed needs it.")
    document = read(path)
    if not document:
        raise InputError(f"{path}: the file is empty; describe at least one entry.")
    return dict(document)


def _values(path: Path, kind: str, entry: Any) -> tuple[str, ...]:
    """A list of values, or `parts`: every way to join one item of each part."""
    parts = entry.get("parts") if isinstance(entry, dict) else [entry]
    if not isinstance(parts, list) or not parts or not all(isinstance(part, list) and part for part in parts):
        raise InputError(f"{path}: {kind}: expected a list of values, or 'parts' with lists to join.")
    values = tuple("".join(map(str, chosen)) for chosen in itertools.product(*parts))
    for value in values:
        if not value or value != value.strip() or " " in value:
            raise InputError(f"{path}: {kind}: the value {value!r} is empty or has white space; a value is one word.")
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise InputError(f"{path}: {kind}: the value {twice!r} occurs twice; remove one.")
    return values


def _intent(path: Path, name: str, entry: Any, values: dict[str, tuple[str, ...]]) -> Intent:
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str) or not entry.get("requests"):
        raise InputError(f"{path}: {name}: expected 'command' (a text) and 'requests' (a list of phrasings).")
    if unknown := set(entry) - {"command", "requests", "held_out"}:
        raise InputError(f"{path}: {name}: unknown key '{min(unknown)}'; known: command, requests, held_out.")
    held_out = tuple(map(str, entry.get("held_out") or ()))
    patterns = [str(entry["command"]), *map(str, entry["requests"]), *held_out]
    slots = dict.fromkeys(slot_names(patterns[0]), "")
    kinds = {match[1]: match[2] for pattern in patterns for match in SLOT.finditer(pattern) if match[2]}
    for slot in slots:
        slots[slot] = kinds.get(slot, slot)
        if slots[slot] not in values:
            raise InputError(
                f"{path}: {name}.command: the slot '{{{slot}}}' is of the unknown kind '{slots[slot]}'; "
                f"slots.yaml has {', '.join(values)}."
            )
    for pattern in patterns[1:]:
        if sorted(slot_names(pattern)) != sorted(slots):
            raise InputError(
                f"{path}: {name}: the phrasing '{pattern}' has the slots {sorted(slot_names(pattern))}, "
                f"its command {sorted(slots)}; they must be the same."
            )
    if held_out and not slots:
        raise InputError(
            f"{path}: {name}.held_out: an intent without slots has a single command, which is needed for training; "
            "remove held_out."
        )
    plain = [SLOT.sub(r"{\1}", pattern) for pattern in patterns]
    if len(set(plain)) < len(plain):
        twice = next(pattern for pattern in plain if plain.count(pattern) > 1)
        raise InputError(f"{path}: {name}: '{twice}' occurs twice; remove one.")
    divide = 1 + len(entry["requests"])
    return Intent(name, plain[0], slots, tuple(plain[1:divide]), tuple(plain[divide:]))
