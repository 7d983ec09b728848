"""Greedy answers to many prompts: a row that is finished leaves, and one that waits takes its place.

transformers has `generate_batch` for that, which takes as many rows as memory has room for at the moment, so that what
shares a pass, and with it the last bits of an answer, would differ from run to run.

Shapes: `B` rows in progress, `T` tokens of the longest of them, `V` vocabulary.
"""

from collections.abc import Callable
from itertools import islice

import torch

from tasks.evaluate.key_values import KeyValues
from tasks.evaluate.shared_prompt import Ids, SharedPrompts, likeliest

LEAVE = 4
"""Finished rows leave together, when they are one in so many: moving the others takes about as long as a token."""


def greedy(
    shared: SharedPrompts,
    start: int,
    prompts: list[Ids],
    at_once: int,
    most: int,
    ended: Callable[[int, Ids], bool],
) -> list[Ids] | None:
    """The tokens of the answer to each of `prompts`, which share their first `start` tokens; at most `most` of each.

    `at_once`: rows in progress, at most. `ended`: whether the answer to the prompt of this number ends with these
    tokens. None where prompts cannot be computed before what follows them.
    """
    answers: list[Ids] = [[] for _ in prompts]
    waiting = iter(range(len(prompts)))
    running: list[int] = []
    done: set[int] = set()
    known: KeyValues | None = None

    def take(numbers: list[int], tokens: Ids) -> None:
        for number, token in zip(numbers, tokens, strict=True):
            if number not in done:
                answers[number].append(token)
                if ended(number, answers[number]):
                    done.add(number)

    while True:
        left = [place for place, number in enumerate(running) if number not in done and len(answers[number]) < most]
        came = [*islice(waiting, at_once - len(left))]
        if not left and not came:
            return answers
        running = [running[place] for place in left] + came
        known = known.rows(torch.tensor(left, device=known.pads.device)) if known and left else None
        done.clear()
        if came:
            if not (begun := shared.begun(start, [prompts[number] for number in came])):
                return None
            logits, new = begun
            take(came, likeliest(logits))
            known = known.joined(new) if known else new
        assert known
        newest = [answers[number][-1] for number in running]
        # no row, finished or not, goes on beyond `most` tokens, for which there are positions
        for _ in range(most - max(len(answers[number]) for number in running)):
            if len(done) * LEAVE >= len(running):
                break
            newest, known = shared.step(known, newest)
            take(running, newest)
