"""YAML that people write, by the one parser and within bounds: what is too large, deep, endless or odd is refused.

    document = parse(text, "safe")  # raises `ValueError` with what is wrong

An alias stands for what its anchor holds, so that a few lines can stand for a billion values, or for themselves.
"""

import re
from collections.abc import Set
from datetime import date
from typing import Any, Literal

LARGEST = 2**17
"""Characters of the longest file of settings that is parsed; ruamel takes some seconds for it."""

MOST = 10_000
"""Values of a document, those for which aliases stand counted each time; or one for each character."""

DEEPEST = 50
"""Levels of the deepest value."""

Kind = Literal["rt", "safe"]


def parse(text: str, kind: Kind = "rt", largest: int = LARGEST) -> Any:
    """The value of a document in YAML 1.2; "rt" keeps comments and line numbers, "safe", six times as fast, does not.
    `largest`: characters of the longest text that is parsed.

    Raises `ValueError` with what is wrong: no YAML, or beyond the bounds above.
    """
    from ruamel.yaml import YAML

    if len(text) > largest:
        raise ValueError(f"too large: {len(text):,} characters, but at most {largest:,} are allowed")
    yaml = YAML(typ=kind)
    yaml.preserve_quotes = True  # else a text that needs them would lose them when the document is written again
    try:
        value = yaml.load(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    except Exception as error:  # its own family, and what dates, numbers and tags raise that are none
        raise ValueError(f"not valid YAML: {_merging(text) or _reason(error, text)}") from None
    _measure(value, {}, max(MOST, len(text)), 0)
    return value


def _merging(text: str) -> str:
    """Where a merge of git has left both sides; "" where none has."""
    if not (marker := re.search(r"^(<{7}|>{7})( .*)?$", text, re.MULTILINE)):
        return ""
    line = text.count("\n", 0, marker.start()) + 1
    return f"line {line}: unresolved merge conflict ({marker[1]}); keep one side"


def _reason(error: Exception, text: str) -> str:
    """What the parser says, without what it quotes around and advises its programmers."""
    mark = getattr(error, "problem_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or error).split()) or type(error).__name__
    problem = problem.removesuffix("; use sys.set_int_max_str_digits() to increase the limit")
    if double := re.match(r'found duplicate key "(.*?)" with value', problem):
        problem = f"the key {double[1]} occurs twice; remove one"
    elif tag := re.match(r"could not determine a constructor for the tag '(.*)'", problem):
        problem = f"the tag {tag[1]} is not allowed; use only texts, numbers, lists and sections"
    elif mark and "".join(text.split("\n")[mark.line : mark.line + 1]).lstrip(" ").startswith("\t"):
        problem = "a tab, which YAML does not allow for indentation; use spaces"
    return f"line {mark.line + 1}: {problem}" if mark else problem


def _measure(value: Any, known: dict[int, int | None], most: int, level: int) -> int:
    """How many values there are within `value`; `known`: by their ids, None for those that it is within."""
    if isinstance(value, date):
        raise ValueError(f"only strings, numbers, lists and mappings are allowed: {value} is a date; quote it")
    if isinstance(value, bytes | Set | tuple):
        raise ValueError(f"only strings, numbers, lists and mappings are allowed: this is a {type(value).__name__}")
    if not isinstance(value, dict | list):
        return 1
    if level > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if id(value) in known:
        size = known[id(value)]
        if size is None:
            raise ValueError("endless: an alias refers to a value that contains it")
        return size
    known[id(value)] = None
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    size = 1
    for each in inner:
        size += _measure(each, known, most, level + 1)
        if size > most:
            raise ValueError(f"too large: more than {most:,} values, counting aliases")
    known[id(value)] = size
    return size
