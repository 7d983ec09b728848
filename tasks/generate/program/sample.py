"""Requests drawn from the grammar, the same for the same seed: with seen or held-out phrasings and commands."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tasks.core.errors import InputError
from tasks.core.paths import PATHS
from tasks.generate.program.distance import openings
from tasks.generate.program.intents import Grammar, Intent, fill

Slice = Literal["new_combination", "new_phrasing"]

TRIES = 200
"""Draws without a new request after which an intent counts as exhausted."""


@dataclass(frozen=True)
class Request:
    """One request with the command that answers it, and where it comes from."""

    request: str
    command: str
    intent: str
    phrasing: str
    """`requests/3` or `held_out/0`: list and place in the intent."""
    values: tuple[str, ...]
    """What fills the slots, in the command's order."""


def sample(grammar: Grammar, source: random.Random, intent: Intent, phrasings: str = "requests") -> Request:
    """Draw one request of `intent`: its values, one of its `phrasings` ('requests' or 'held_out'), an opening."""
    values: dict[str, str] = {}
    for slot, kind in intent.slots.items():
        taken = {values[other] for other in values if intent.slots[other] == kind}
        values[slot] = source.choice([value for value in grammar.values[kind] if value not in taken])
    patterns: tuple[str, ...] = getattr(intent, phrasings)
    index = source.randrange(len(patterns))
    opening = source.choice(openings(grammar, patterns[index]))
    request = fill(f"{opening} {patterns[index]}".strip(), values)
    return Request(request, fill(intent.command, values), intent.name, f"{phrasings}/{index}", tuple(values.values()))


def trainable(grammar: Grammar, source: random.Random) -> Iterator[Request]:
    """Endless requests that training text may hold: seen phrasings, no held-out command; intents drawn evenly."""
    while True:
        drawn = sample(grammar, source, source.choice(grammar.intents))
        if not grammar.held_out(drawn.command):
            yield drawn


def splits(grammar: Grammar, rows: int, validation_rows: int, test_rows: int, seed: int) -> dict[str, list[Request]]:
    """Draw the splits: `train`, `validation`, and the test slices `new_combination` and `new_phrasing` (half each).

    No request occurs twice, and no test command. Every value in a test request occurs in `train`, in other commands.
    Raises `InputError` where the grammar has too few different requests.
    """
    source = random.Random(f"{seed}/train")
    seen: set[str] = set()
    drawn: list[Request] = []
    idle = 0
    for candidate in trainable(grammar, source):
        if len(drawn) == rows + validation_rows:
            break
        idle = idle + 1 if candidate.request in seen else 0
        if idle > TRIES:
            raise _exhausted("rows", len(drawn), rows + validation_rows)
        if not idle:
            seen.add(candidate.request)
            drawn.append(candidate)
    train, validation = drawn[:rows], drawn[rows:]
    known = {value for request in train for value in request.values}
    combinations = test_rows - test_rows // 2
    taken: set[str] = set()
    return {
        "train": train,
        "validation": validation,
        "new_combination": _held_out(grammar, "requests", combinations, known, taken, seed),
        "new_phrasing": _held_out(grammar, "held_out", test_rows - combinations, known, taken, seed),
    }


def _held_out(
    grammar: Grammar, phrasings: str, rows: int, known: set[str], taken: set[str], seed: int
) -> list[Request]:
    """Requests for held-out commands, from each intent in turn; `taken` are the commands used, and grows."""
    source = random.Random(f"{seed}/test/{phrasings}")
    intents = [intent for intent in grammar.intents if intent.slots and getattr(intent, phrasings)]
    requests: list[Request] = []
    while len(requests) < rows:
        if not intents:
            raise _exhausted("test_rows", len(requests), rows)
        for intent in tuple(intents):
            if len(requests) == rows:
                break
            for _ in range(TRIES):
                drawn = sample(grammar, source, intent, phrasings)
                new = grammar.held_out(drawn.command) and drawn.command not in taken
                if new and known.issuperset(drawn.values):
                    taken.add(drawn.command)
                    requests.append(drawn)
                    break
            else:
                intents.remove(intent)
    return requests


def _exhausted(key: str, count: int, wanted: int) -> InputError:
    return InputError(
        f"The seed's grammar has only about {count} of the {wanted} different requests asked for; "
        f"lower generate.{key} in {PATHS.params}, or add phrasings and values to the seed."
    )
