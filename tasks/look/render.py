"""A view of data as tables: a title, columns, and rows, from which the terminal and the page are drawn."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.core.numbers import counted, shown
from tasks.look.survey import View

BARS = 12
"""Bars of a histogram, and labels that are shown one by one."""

WIDTH = 28
"""Characters of the longest bar in a terminal."""


@dataclass(frozen=True)
class Bars:
    """Counts under a title."""

    title: str
    counts: tuple[tuple[str, int], ...]
    note: str = ""


def facts(view: View) -> Iterator[str]:
    """One sentence each on rows, their shapes and columns, and what is odd about them."""
    beginning = "" if view.whole else " (the first ones; --rows reads more)"
    yield f"{counted(view.rows, 'rows')} read{beginning}, {view.usable:,} can be used."
    for reason, count in view.unusable.most_common():
        such = f", such as {view.first_unusable[reason]}" if reason in view.first_unusable else ""
        yield f"{counted(count, 'rows')} cannot be used, so clean leaves them out: {reason}{such}."
    for shape, about in view.shapes.items():
        read = ", ".join(f"{name} is the {part}" if name != part else name for name, part in about["read"].items())
        unread = f"; not read: {', '.join(about['not_read'])}" if about["not_read"] else ""
        yield f"{counted(about['rows'], 'rows')} of the shape {shape}: {read}{unread}."
    yield from view.hints
    if view.duplicates:
        yield f"Exact duplicates of another row: {view.duplicates:,}; clean keeps one of each."
    if view.conflicts:
        yield f"The same request as another row, but a different answer: {view.conflicts:,}; see clean.conflicts."
    if view.tokens and view.outcomes:
        tokens = sum(view.lengths)
        share = f"{view.trained / max(1, tokens):.0%}"
        yield f"{view.trained:,} of {tokens:,} tokens are trained ({share}), of {counted(len(view.lengths), 'rows')}."
    for reason, count in view.left.most_common():
        yield f"{counted(count, 'rows')} would be removed by template: {reason}."


def staying(view: View) -> str:
    """The last line: on how many of the rows that were read one would train, validate and test."""
    is_sample = view.tokens and view.templated < view.usable
    count = f"{'about ' if is_sample else ''}{view.staying:,}"
    return f"Rows to train, validate and test on: {count} of {view.rows:,}, before near-duplicates of test rows leave."


def charts(view: View) -> Iterator[Bars]:
    """Splits, lengths and labels, as far as there are some."""
    if view.splits:
        yield Bars("Splits", tuple(sorted(view.splits.items())))
    if view.lengths:
        unit = "tokens" if view.tokens else "characters"
        note = "; ".join(f"{name} {_quantile(view.lengths, part):,}" for name, part in QUANTILES)
        if view.longest:
            above = sum(length > view.longest for length in view.lengths)
            note += f"; limit {view.longest:,} ({view.limit}), {above:,} above"
        yield Bars(f"Length of a row, {unit}", tuple(histogram(view.lengths)), note)
    if view.labels:
        yield _labels(view.labels)


USUAL, FAR = 0.98, 4
"""Share of the rows that a histogram shows in full where the longest one has more than `FAR` times their tokens."""

QUANTILES = (("half up to", 0.5), ("90 % up to", 0.9), ("longest", 1.0))


def _quantile(lengths: list[int], part: float) -> int:
    ordered = sorted(lengths)
    return ordered[min(len(ordered) - 1, max(0, round(part * len(ordered)) - 1))]


def histogram(lengths: list[int]) -> Iterator[tuple[str, int]]:
    """Rows by their length, in bars whose edges are round numbers; a few that are far longer share the last one.

    >>> list(histogram([1, 2, 30]))
    [('1-10', 2), ('11-20', 0), ('21-30', 1)]
    >>> list(histogram([5] * 99 + [4000]))
    [('1-10', 99), ('more than 10', 1)]
    """
    step, longest, usual = 10, max(lengths), _quantile(lengths, USUAL)
    shown = usual if longest > FAR * usual else longest
    while shown > BARS * step:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    counts = Counter((length - 1) // step for length in lengths)
    last = max(0, (shown - 1) // step)
    for bar in range(max(0, min(counts)), last + 1):
        yield f"{bar * step + 1:,}-{(bar + 1) * step:,}", counts[bar]
    if beyond := sum(count for bar, count in counts.items() if bar > last):
        yield f"more than {(last + 1) * step:,}", beyond


def _labels(labels: Counter[str]) -> Bars:
    ordered = labels.most_common()
    first, others = ordered[:BARS], ordered[BARS:]
    rows = [(" ".join(name.split())[:40] or '""', count) for name, count in first]
    if others:
        rows.append((counted(len(others), "other labels"), sum(count for _, count in others)))
    most, least = ordered[0][1], ordered[-1][1]
    apart = f"the most frequent has {shown(most / least, 3)} times the rows of the least frequent"
    note = f"{counted(len(labels), 'labels')}; {apart if most > least else 'all have as many rows'}"
    return Bars("Labels", tuple(rows), note)


def bar(count: int, most: int) -> str:
    """A bar of blocks, at least a thin one where there is something."""
    return "█" * round(count / most * WIDTH) or ("▏" if count else "")


def pieces(outcome: Any, tokenizer: Any, most: int) -> Iterator[tuple[str, bool]]:
    """The text of a row's sequences in turn, with whether it is trained; at most `most` tokens of each."""
    for sequence in outcome.sequences:
        ids, at = sequence.ids[:most], 0
        for start, stop in sequence.runs:
            yield tokenizer.decode(ids[at:start], skip_special_tokens=False), False
            yield tokenizer.decode(ids[start:stop], skip_special_tokens=False), True
            at = min(stop, len(ids))
        yield tokenizer.decode(ids[at:], skip_special_tokens=False), False
        more = len(sequence) - len(ids)
        yield (f" … {counted(more, 'more tokens')}\n" if more else "\n"), False
