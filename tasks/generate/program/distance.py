"""Proof that requests for different commands are never near-duplicates, whatever names fill their slots.

For two phrasings the largest possible Jaccard similarity is known beforehand. Within one intent, different commands
differ in at least one name: of `n` words at most `n - 1` are shared and at least `n + 1` are in the union. Between two
intents all names may be equal, so the words around them must differ enough, and openings such as 'please' count too.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tasks.core.errors import InputError
from tasks.dedup.similarity import NEAR_DUPLICATE, jaccard, words
from tasks.generate.program.intents import Grammar, Intent, fill


def most_words(threshold: float = NEAR_DUPLICATE) -> int:
    """The most words a request may have so that one other name makes it no near-duplicate: (n-1)/(n+1) < threshold."""
    count = 1
    while count / (count + 2) < threshold:
        count += 1
    return count


def openings(grammar: Grammar, phrasing: str) -> tuple[str, ...]:
    """The openings that `phrasing` may have: none for a question, and none that makes the request too long."""
    if phrasing.endswith("?"):
        return ("",)
    fitting = tuple(opening for opening in grammar.openings if len(words(f"{opening} {phrasing}")) <= most_words())
    return fitting or ("",)


def check(grammar: Grammar, path: Path) -> None:
    """Raise `InputError` where a phrasing is too long, or two intents can make near-duplicates."""
    limit = most_words()
    forms: list[_Form] = []
    for intent in grammar.intents:
        for phrasing in (*intent.requests, *intent.held_out):
            pieces = _pieces(phrasing, intent)
            if intent.slots and len(pieces) > limit:
                raise InputError(
                    f"{path}: {intent.name}: the phrasing '{phrasing}' has {len(pieces)} words; with more than {limit} "
                    "it would be a near-duplicate of itself with another name. Shorten it."
                )
            literal = frozenset(piece for piece in pieces if not piece.startswith("$"))
            longest = max(len(words(opening)) for opening in openings(grammar, phrasing))
            if (twin := _twin(phrasing, intent)) is not None:
                raise InputError(
                    f"{path}: {intent.name}.held_out: '{phrasing}' is a near-duplicate of the phrasing '{twin}', which "
                    f"is trained on (similarity from {NEAR_DUPLICATE:g}). Reword one of them."
                )
            forms.append(_Form(intent.name, phrasing, literal, tuple(intent.slots.values()), longest))
    sets = {kind: frozenset(values) for kind, values in grammar.values.items()}
    meet = {(one, other) for one in sets for other in sets if sets[one] & sets[other]}
    for one, other in combinations(forms, 2):
        if one.intent == other.intent or not (one.kinds or other.kinds):
            continue
        shared, opening = len(one.literal & other.literal), min(one.opening, other.opening)
        equal = min(_alike(one, other, meet), _alike(other, one, meet))
        union = len(one.literal | other.literal) + len(one.kinds) + len(other.kinds) - equal
        similarity = (shared + equal + opening) / (union + opening)
        if similarity >= NEAR_DUPLICATE:
            raise InputError(
                f"{path}: '{one.phrasing}' ({one.intent}) and '{other.phrasing}' ({other.intent}) ask for different "
                f"commands in nearly the same words (similarity up to {similarity:.2f}, limit {NEAR_DUPLICATE:g}). "
                "Reword one of them."
            )


@dataclass(frozen=True)
class _Form:
    """A phrasing as far as its likeness to others goes."""

    intent: str
    phrasing: str
    literal: frozenset[str]
    kinds: tuple[str, ...]
    opening: int
    """The most words its opening may have."""


def _pieces(phrasing: str, intent: Intent) -> list[str]:
    """The words of a phrasing, slots as `$name`."""
    return words(fill(phrasing, {slot: f"${slot}" for slot in intent.slots}))


def _twin(phrasing: str, intent: Intent) -> str | None:
    """The seen phrasing that the held-out `phrasing` is nearly the same as, with the same names in both, or None."""
    if phrasing not in intent.held_out:
        return None
    own = _pieces(phrasing, intent)
    return next((seen for seen in intent.requests if jaccard(own, _pieces(seen, intent)) >= NEAR_DUPLICATE), None)


def _alike(one: _Form, other: _Form, meet: set[tuple[str, str]]) -> int:
    """How many slots of `one` could hold a value that a slot of `other` holds."""
    return sum(any((kind, kind_of_other) in meet for kind_of_other in other.kinds) for kind in one.kinds)
