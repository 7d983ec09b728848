"""Rows as a classifier reads them: the prompt, and the class that the answer names, or the classes.

    train, validation = labelled_rows(settings, templated, held_out, tokenizer)
    train.classes  # ["card_arrival", "lost_card"]
    train[0]  # {"input_ids": [...], "labels": 1}; with several classes a row [0.0, 1.0]

Nothing is tokenised here: prompts are the ids that the stage template made, up to where the answer begins.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.chat.reasoning import ReasoningReader
from tasks.chat.special_tokens import special_tokens, token_pattern
from tasks.core.errors import InputError, SettingsError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.train.labels import Named, named
from tasks.train.settings import Settings
from tasks.training.stretches import last_stretches

NAMED = 5
"""Classes or rows that a sentence names."""


@dataclass(frozen=True)
class LabelledRows:
    """Prompts as Arrow lists of token ids, and the classes of each by their places among `classes`."""

    classes: list[str]
    prompts: Any
    numbers: list[tuple[int, ...]]
    several: bool = False
    """Whether a row has any number of classes, and not one."""
    column_names = ("input_ids", "labels")

    @classmethod
    def of(cls, classes: list[str], prompts: Any, rows: list[Named], *, several: bool) -> "LabelledRows":
        """`rows` by the names of their classes."""
        places = {name: number for number, name in enumerate(classes)}
        return cls(classes, prompts, [tuple(places[name] for name in row) for row in rows], several)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        own = self.numbers[index]
        labels = [float(number in own) for number in range(len(self.classes))] if self.several else own[0]
        return {"input_ids": self.prompts[index].as_py(), "labels": labels}

    @property
    def data(self) -> Any:
        """The prompts as a table, by whose lengths rows are put together."""
        return pa.table({"input_ids": self.prompts})

    @property
    def longest(self) -> int:
        """The row with the most tokens in its prompt."""
        return int(np.argmax(pc.list_value_length(self.prompts).to_numpy()))

    def counts(self) -> dict[str, int]:
        """Rows, and tokens of their prompts."""
        tokens = pc.sum(pc.list_value_length(self.prompts)).as_py() or 0
        return {"rows": len(self), "prompt_tokens": tokens}

    def sizes(self) -> list[int]:
        """Rows of each class."""
        counts = Counter(number for own in self.numbers for number in own)
        return [counts[number] for number in range(len(self.classes))]


def labelled_rows(
    settings: Settings, train: Any, validation: Any, tokenizer: Any
) -> tuple[LabelledRows, LabelledRows | None]:
    """`train` and `validation` (datasets with input_ids and labels) with classes; None where there is no validation.

    Raises `InputError` where rows have no answer, or their answers are no classes to learn.
    """
    prompts, rows = _answers(settings, train, "train", tokenizer)
    classes, several = learned(settings, rows), settings.several
    if unpooled := sum(prompt.as_py()[-1] == tokenizer.pad_token_id for prompt in prompts):
        raise InputError(
            f"{PATHS.tokens('train')}: {counted(unpooled, 'prompts')} end in {tokenizer.pad_token}, which is also the "
            "pad token, so the head would read the token before it; give the base's tokenizer a separate pad token, or "
            "set template.chat_template to another template."
        )
    own = LabelledRows.of(classes, prompts, rows, several=several)
    if not len(validation):
        return own, None
    prompts, held_out = _answers(settings, validation, "validation", tokenizer)
    check_known(held_out, classes, "validation")
    return own, LabelledRows.of(classes, prompts, held_out, several=several)


def learned(settings: Settings, named_by: list[Named]) -> list[str]:
    """The classes of training rows that name those, in the order of the head: as listed, else sorted.

    Raises `InputError` where they are no classes to learn, `SettingsError` for a weight of a class that is none.
    """
    rows = Counter(name for row in named_by for name in row)
    classes = list(settings.classes) if settings.classes is not None else sorted(name for name in rows if name)
    check_known(named_by, classes, "train")
    if missing := [name for name in classes if not rows[name]]:
        raise InputError(
            f"train.classes lists {_some(missing)}, but no training row has such an answer; remove it, or add rows."
        )
    many = counted(len(named_by), "training rows")
    if len(classes) < 2 and settings.several:
        raise InputError(
            f"train.objective classify: {many} name {counted(len(classes), 'classes')}, but labels: several takes at "
            "least two; add rows of other classes, or set train.labels to one."
        )
    if len(classes) < 2:
        raise InputError(
            f"train.objective classify: all {many} have the answer {classes[0]!r}, but one class leaves nothing to "
            "distinguish; add rows of other classes."
        )
    if 2 * len(classes) > rows.total():
        raise InputError(
            f"train.objective classify: {counted(len(classes), 'different answers')} in {many}, such as "
            f"{_some(sorted(rows))}: these are texts, or classes with fewer than two rows each; add rows, or set "
            "train.objective to rows."
        )
    if always := [name for name in classes if rows[name] == len(named_by)]:
        raise InputError(
            f"train.objective classify: all {many} have the class {_some(always)}, so there is nothing to learn of it; "
            "remove it from the rows, or add rows without it."
        )
    folded = Counter(name.casefold() for name in classes)
    if twice := [name for name in classes if folded[name.casefold()] > 1]:
        raise InputError(
            f"train.objective classify: the classes {_some(twice)} differ only in case; write them the same way."
        )
    if not isinstance(settings.class_weights, str) and (unknown := sorted(set(settings.class_weights) - set(classes))):
        raise SettingsError(
            f"{PATHS.params}: train.class_weights names {_some(unknown)}, which is not a class of the training rows "
            f"({_some(classes)}); correct or remove it."
        )
    return classes


def check_known(rows: list[Named], classes: list[str], split: str) -> None:
    """Raise `InputError` where a row of `split` names a class that is none of `classes`."""
    known = set(classes)
    strange = [row for row in rows if not known.issuperset(row)]
    if not strange:
        return
    unknown = {name for row in strange for name in row} - known
    if "" in unknown:
        empty = sum("" in row for row in strange)
        raise InputError(
            f"train.objective classify: {counted(empty, 'rows')} of {split} have an empty answer, which names no "
            "class; remove them, or give them one."
        )
    many, what = counted(len(strange), "rows"), _some(sorted(unknown))
    if split == "train":
        raise InputError(
            f"train.classes does not list the answer {what} of {many} of train; add it there, or remove these rows."
        )
    raise InputError(
        f"train.objective classify: no training row has the answer {what} of {many} of {split}, so the model could "
        "never predict it; add such rows to the training split, or remove these."
    )


def class_weights(settings: Settings, rows: LabelledRows) -> list[float]:
    """What the loss of a row of each class is multiplied by; with several classes a row, of one that has the class."""
    if settings.class_weights == "balanced" and rows.several:
        return [(len(rows) - size) / size for size in rows.sizes()]
    if settings.class_weights == "balanced":
        return [len(rows) / (len(rows.classes) * size) for size in rows.sizes()]
    weights = settings.class_weights if isinstance(settings.class_weights, dict) else {}
    return [weights.get(name, 1.0) for name in rows.classes]


def _answers(settings: Settings, rows: Any, split: str, tokenizer: Any) -> tuple[Any, list[Named]]:
    """The prompts of `rows`, and the classes that each answer names, without its reasoning."""
    stretches = last_stretches(rows.data)
    if stretches.left_out:
        raise InputError(
            f"{PATHS.tokens(split)}: {counted(stretches.left_out, 'rows')} of {split} have no answer after a prompt, "
            "so there is no class to learn; remove texts without an answer, and set template.train_on to assistant."
        )
    reader, specials = ReasoningReader.of(tokenizer), token_pattern(special_tokens(tokenizer))
    ids = stretches.answers.to_pylist()
    texts = tokenizer.batch_decode(ids)  # with control tokens, of which markers are made
    _check_plain(texts, ids, specials, split, tokenizer)
    answers = [specials.sub("", reader.split(text).answer) for text in texts]
    return stretches.prompts, named(answers, split, several=settings.several)


def _check_plain(texts: list[str], ids: list[list[int]], specials: re.Pattern[str], split: str, tokenizer: Any) -> None:
    """Raise `InputError` where an answer spells a special token out, as a class that is called like one does."""
    names = {number: one.content for number, one in tokenizer.added_tokens_decoder.items() if one.special}
    spelt = [
        name
        for text, row in zip(texts, ids, strict=True)
        for name in Counter(specials.findall(text)) - Counter(names[token] for token in row if token in names)
    ]
    if spelt:
        rows = counted(spelt.count(spelt[0]), "answers")
        raise InputError(
            f"train.objective classify: {spelt[0]!r} stands in {rows} of {split}, but it is a special token of the "
            "tokenizer, so it cannot be part of a class; rename the class."
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
