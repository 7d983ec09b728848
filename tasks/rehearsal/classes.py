"""What a metric with answers to choose from would say of the first rows: whether their references are such answers.

The stage evaluate sees the test split alone, and only when everything is trained; here the training rows say, too,
whether an answer is a class.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unicodedata import category, normalize

from tasks.core.errors import InputError, TemperError
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.evaluate.class_lists import ClassLists
from tasks.evaluate.classes import FEW, MOST, Classes, reference_of, row_choices
from tasks.evaluate.questions import rows
from tasks.evaluate.settings import Metric, Settings
from tasks.rows.label_lists import labels_in

SPLITS = ("test", "train", "validation")

SHOWN = 40
"""Characters of an answer that are shown."""

SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True)
class References:
    """The answers of rows that can be asked."""

    test: list[str]
    others: list[str]
    """Those of the other splits."""

    @property
    def all(self) -> list[str]:
        """Those of all rows."""
        return [*self.test, *self.others]


def look(settings: Settings, aside: Paths, whole: bool) -> tuple[list[TemperError], list[str]]:
    """Errors and remarks of the metrics on the rows that clean wrote in `aside`; `whole`: these are all rows.

    Rows that cannot be asked, and a split without any, are none of this module's business.
    """
    errors: list[TemperError] = []
    remarks: list[str] = []
    dialogues = {split: _dialogues(aside, split) for split in SPLITS}
    for metric in settings.metrics:
        if metric.several:
            errors += map(InputError, _of_lists(metric, dialogues))
        elif metric.classes:
            known = References(
                [reference_of(row) for row in dialogues["test"]],
                [reference_of(row) for split in SPLITS[1:] for row in dialogues[split]],
            )
            refused = list(_of_listed(metric, known) if metric.choices else _of_unlisted(metric, known))
            errors += map(InputError, refused)
            if not refused and known.all and (sentence := _alone(metric, known, whole)):
                if whole:
                    errors.append(InputError(sentence))
                else:
                    remarks.append(sentence)
        elif metric.asks == "choice":
            try:
                for row in dialogues["test"]:
                    row_choices(row, metric, reference_of(row))
            except InputError as error:
                errors.append(error)
    return errors, remarks


def _of_lists(metric: Metric, dialogues: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """What is wrong with references that are to be lists of classes: said of each class as of one that is an answer."""
    try:
        if dialogues["test"]:
            ClassLists.of(metric, dialogues["test"])
    except InputError as error:
        yield str(error)
        return
    lists = {split: [labels_in(reference_of(row)) or () for row in rows] for split, rows in dialogues.items()}
    known = References(
        [name for row in lists["test"] for name in row],
        [name for split in SPLITS[1:] for row in lists[split] for name in row],
    )
    yield from _of_listed(metric, known) if metric.choices else _of_unlisted(metric, known)


def _dialogues(aside: Paths, split: str) -> list[dict[str, Any]]:
    try:
        return rows(aside.rows(split))[0]
    except (InputError, FileNotFoundError):
        return []


def _of_unlisted(metric: Metric, known: References) -> Iterator[str]:
    """What is wrong with classes that the references themselves stand for."""
    counts = Counter(map(_spaced, known.all))
    asked = known.test if len(known.test) > FEW else known.all
    single = [text for text in asked if counts[_spaced(text)] == 1]
    if len(known.all) > FEW and 2 * len(single) > len(asked):
        yield (
            f"evaluate: {metric.column}: of {counted(len(asked), 'answers')} {len(single):,} occur in only one row, "
            f"such as {_short(single[0])}, so they are not classes; {ADVICE}"
        )
    elif len(classes := set(map(_spaced, known.test))) > MOST:
        yield (
            f"evaluate: {metric.column}: the test rows have {len(classes):,} different answers, which is too many for "
            f"classes (at most {MOST:,}); {ADVICE}"
        )
    else:
        variants = defaultdict(list)
        for name in counts:
            variants[_bare(name)].append(name)
        if alike := next((sorted(names) for names in variants.values() if len(names) > 1), None):
            yield (
                f"evaluate: {metric.column}: the answers {' and '.join(map(_short, alike))} differ only in case, "
                "spaces, dashes, underscores or characters that cannot be seen; write them the same way in the data, "
                "or, if they are different classes, list all classes in the metric's choices."
            )


ADVICE = "list the classes in the metric's choices, or use a metric that compares texts, such as f1."


def _of_listed(metric: Metric, known: References) -> Iterator[str]:
    """Labels that the list lacks: those of test rows, and of training rows that have classes for the most part."""
    classes = Classes(list(metric.choices))
    for split, texts in (("test", known.test), ("training", known.others)):
        lacking = Counter(_spaced(text) for text in texts if classes.named(text) is None)
        if lacking and (split == "test" or 2 * lacking.total() < len(texts)):
            (name, _), *more = lacking.most_common()
            others = f" and {counted(len(more), 'other answers')}" if more else ""
            yield (
                f"evaluate: {metric.column}: {lacking.total():,} of {counted(len(texts), f'{split} rows')} have the "
                f"answer {_short(name)}{others}, which the metric's choices lack; add the classes among these to "
                "choices, or remove the rows."
            )
            return


def _alone(metric: Metric, known: References, whole: bool) -> str | None:
    """What to say where one class is all that there is to tell, so that every answer of it is right."""
    where, texts = ("the test rows", known.test) if whole else ("the first rows", known.all)
    names = {Classes(list(metric.choices)).named(text) if metric.choices else _spaced(text) for text in texts}
    if len(names) != 1:
        return None
    return (
        f"evaluate: {metric.column}: {where} all have the answer {_short(str(names.pop()))}, but one class leaves "
        "nothing to distinguish; add test rows of every class, or use another metric."
    )


def _bare(name: str) -> str:
    """`name` without what a reader does not see: case, separators, forms of letters, characters of no width."""
    seen = "".join(letter for letter in normalize("NFKC", name) if category(letter) != "Cf")
    return SEPARATORS.sub("", seen.casefold()) or name


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    line = _spaced(text)
    return repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}...")
