"""What pydantic finds wrong, as people read it: one fault a place, and of an unknown key those that look like it."""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

FEW = 6
"""Keys of a section that are all listed."""

NEAREST = 3
"""Keys that are listed of more."""

ALIKE = 0.65
"""From this ratio of difflib on, a key is what somebody meant."""

TYPES = {"str", "int", "float", "bool", "none"}
"""Names of types that pydantic has for a place."""

EXPECTED = "Input should be "

MAPPING = re.compile(r"a valid dictionary( or instance of \w+)?")
"""What pydantic expects where there are keys, in words of Python."""


def of_one_place(faults: Sequence[Any], value: Any) -> list[dict[str, Any]]:
    """pydantic's `faults` of `value`, those of one place as one, and without places that are none.

    Where a key may be one of several types, pydantic has a fault for each of them, with the type's name in its `loc`;
    that of an inner place, such as an item of a list, is of the type that was meant.
    """
    placed: dict[tuple[Any, ...], dict[str, Any]] = {}
    for fault in faults:
        location = _location(fault["loc"], value)
        if earlier := placed.get(location):
            earlier["msg"] += f" or {fault['msg'].removeprefix(EXPECTED)}"
        else:
            placed[location] = {**fault, "loc": location}
    return [fault for location, fault in placed.items() if not any(_inside(other, location) for other in placed)]


def _location(parts: Sequence[Any], value: Any) -> tuple[Any, ...]:
    """`parts` without those that name a type of pydantic's and no place of `value`."""
    location = []
    for part in parts:
        present = isinstance(value, dict) and part in value
        if not present and isinstance(part, str) and (part in TYPES or "[" in part):
            continue
        location.append(part)
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
    return tuple(location)


def _inside(location: tuple[Any, ...], outer: tuple[Any, ...]) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def in_words(message: str) -> str:
    """A message of pydantic's in words of YAML.

    >>> in_words("Input should be a valid dictionary or instance of Settings")
    'Input should be keys with values, such as {key: value}'
    """
    message = message.removeprefix("Value error, ").replace("a valid tuple", "a list")
    return MAPPING.sub("keys with values, such as {key: value}", message)


def line_of(document: Any, location: tuple[Any, ...]) -> int | None:
    """Line (from 1) of the deepest part of `location` that the document has."""
    line = None
    for part in location:
        marks = getattr(document, "lc", None)
        try:
            place = marks.key(part) if isinstance(document, dict) else marks.item(part)  # type: ignore[union-attr]
            line, document = place[0] + 1, document[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line


def nearest(name: str, known: Collection[str], page: str) -> str:
    """What to say of a key that is not among those of its section; `page`: where all of them stand, if anywhere.

    >>> nearest("learning_rat", ["learning_rate", "steps"], ""), nearest("lr", ["learning_rate", "lora"], "")
    ("did you mean 'learning_rate'?", "did you mean 'learning_rate'?")
    """
    if not known:
        return "remove it."
    initials = [key for key in sorted(known) if "_" in key and name == "".join(word[:1] for word in key.split("_"))]
    if near := initials or difflib.get_close_matches(name, known, n=1, cutoff=ALIKE):
        return f"did you mean '{near[0]}'?"
    if len(known) <= FEW or not page:
        return f"known keys here: {', '.join(sorted(known))}."
    shown = difflib.get_close_matches(name, known, n=NEAREST, cutoff=0.0)
    return f"the nearest are {', '.join(shown)}; {page} lists all {len(known)}."
