"""Regular expressions that users write: refused where they are none, or would search for ever.

Python's `re` goes back through every way in which repetitions share out a text. `(a+)+$` has 2 to the power of n ways
for n letters, so that one answer of a model stops a run for good.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from tasks.bounds.limits import Bounds
from tasks.core.errors import InputError, TemperError

TRIED = 1.0
"""Seconds of computing that a pattern may take for one of the texts that it is tried on."""

SEARCHED = 10.0
"""Seconds of computing that a search in one text may take."""

LENGTH, REPEATS = 500, 40
"""Characters of a long text that a pattern is tried on, and how often a word stands in one: more than enough for two
repetitions of one another, and few enough for patterns that are only slow."""

NAME = 150
"""Characters of a long name of a layer."""

END = "\0"
"""Ends these texts: matched by few patterns, so that they look for another way to match what is before it."""


class _TooSlow(TemperError):
    """Stays within this file."""


def usable(expression: str) -> str:
    """`expression`; raises `ValueError` where it is no regular expression, or takes too long on a text of 500 letters.

    >>> usable("[0-9]+")
    '[0-9]+'
    """
    _try(_compiled(expression).search, difficult_texts(expression))
    return expression


def usable_for_names(expression: str) -> str:
    """`expression`, which names of layers are to match whole or from a dot to a dot; raises as `usable`.

    >>> usable_for_names("(q|v)_proj")
    '(q|v)_proj'
    """
    _compiled(expression)
    whole = _compiled(rf"(?:.*\.)?(?:{expression})(?:\..*)?").fullmatch
    _try(whole, (text[:NAME].removesuffix(END) + END for text in difficult_texts(expression)))
    return expression


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"it is not a regular expression ({error})") from None


def _try(find: Callable[[str], object], texts: Iterable[str]) -> None:
    for text in texts:
        try:
            with Bounds(TRIED, _TooSlow):
                find(text)
        except _TooSlow:
            raise ValueError(
                f"it takes more than {TRIED:g} second to search {len(text)} characters such as {text[:6]!r}; rewrite "
                "it without a repetition inside another"
            ) from None


def check_names(fields: Mapping[str, Any]) -> None:
    """Raise `ValueError` for a regular expression for names of layers among peft's `fields` that is not usable.

    Patterns are keys or texts of the fields `..._pattern`; a text of those called `...modules...`, which else list ends
    of names; and all of `modules_to_save`.
    """
    for field, value in fields.items():
        if field.endswith("_pattern") or field == "modules_to_save":
            texts = list(value) if isinstance(value, dict | list | tuple) else [value]
        else:
            texts = [value] if "modules" in field else []
        for text in texts:
            try:
                usable_for_names(text) if isinstance(text, str) else None
            except ValueError as error:
                raise ValueError(f"{field}: {text[:80]!r}: {error}") from None


NamePattern = Annotated[str, AfterValidator(usable_for_names)]
"""A setting that is a regular expression for names of layers."""


def searcher(expression: str, key: str, flags: int = 0) -> Callable[[str], re.Match[str] | None]:
    """Return the search for `expression`, which `key` holds; it raises `InputError` for a text that takes too long.

    >>> searcher("b+", "evaluate.metrics.0.pattern")("abbc").span()
    (1, 3)
    """
    find = re.compile(expression, flags).search

    def search(text: str) -> re.Match[str] | None:
        def refuse(why: str) -> TemperError:
            return InputError(
                f"{key} = {expression!r}: {why} to search the answer {text[:60]!r} ({len(text)} characters); rewrite "
                "it without a repetition inside another."
            )

        with Bounds(SEARCHED, refuse):
            return find(text)

    return search


def difficult_texts(expression: str) -> Iterator[str]:
    """Texts that bring out a pattern that repeats what repeats: its own letters and words, many times over."""
    words = re.findall(r"\w+", expression)[:12]
    letters = sorted({*"a0A _.-\n", *re.sub(r"\\.", "", expression)[:60]})
    for word in (*letters, *words):
        yield word * REPEATS + END
    for letter in letters:
        yield letter * LENGTH + END
