"""Text to pretrain the base on: requests and commands apart, and lines that teach copying. No pairs, nothing held out.

A base trained on it knows the words and can pick out and copy a name, but has never seen a request with its command:
fine-tuning has that to teach, and the untuned base scores nothing.
"""

import random
from pathlib import Path

from tasks.generate.program.grammar import load
from tasks.generate.program.intents import Grammar
from tasks.generate.program.sample import Request, trainable

SHARES = {"request": 0.1, "command": 0.15, "repeat": 0.1, "pick": 0.35, "copy": 0.3}
"""Share of lines of each kind (0 to 1): a request; a command; one of either, twice; one of either and the values in
it; values, several times."""

MOST_VALUES = 4
"""The most values in a line that copies values."""

MOST_TIMES = 4
"""How often such a line says them at most."""


def pretraining_lines(seed_folder: Path, lines: int, seed: int) -> list[str]:
    """Make `lines` lines of text from the seed folder; the same for the same `seed`."""
    grammar = load(seed_folder)
    source = random.Random(f"{seed}/pretraining")
    requests = trainable(grammar, source)
    kinds = source.choices(list(SHARES), list(SHARES.values()), k=lines)
    return [_line(kind, next(requests), grammar, source) for kind in kinds]


def _line(kind: str, drawn: Request, grammar: Grammar, source: random.Random) -> str:
    if kind == "request":
        return drawn.request
    if kind == "command":
        return drawn.command
    text = source.choice((drawn.request, drawn.command))
    if kind == "repeat":
        return f"{text} = {text}"
    if kind == "pick" and drawn.values:
        return f"{text} = {' '.join(drawn.values)}"
    values = list(grammar.values.values())
    listed = " ".join(source.choice(source.choice(values)) for _ in range(source.randint(1, MOST_VALUES)))
    return " = ".join([listed] * source.randint(2, MOST_TIMES))
