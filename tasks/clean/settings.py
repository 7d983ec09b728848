"""Settings of the stage `clean`."""

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from tasks.clean.filter_settings import Privacy, Quality
from tasks.core.paths import PATHS
from tasks.core.settings import Location, absent
from tasks.core.settings import Settings as Section
from tasks.models.hub import Pinned

PRECISION = 1e-6
"""How near to 1 probabilities have to add up."""

MOST_TIMES = 100
"""Times that a training row may stand in train.parquet."""


Share = Annotated[float, Field(ge=0, le=1)]

Fix = Literal["mojibake", "surrogate_pairs", "terminal_escapes", "control_characters", "normalisation"]

FIXES: tuple[Fix, ...] = get_args(Fix)
"""What can be repaired in a text, in the order in which it is done."""


def _is_pattern(pattern: str) -> str:
    """Raise `ValueError` where no name of a file could match."""
    try:
        PurePosixPath("name").match(pattern)
    except ValueError:
        raise ValueError(f"{pattern!r} is not a pattern for file names; use *, or a folder's name and /*") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_is_pattern)]


class Splits(Section):
    """Which files make which split: glob patterns below the input; where all are empty, every data file is read."""

    train: tuple[Pattern, ...] = ()
    """Glob patterns of the files for training."""
    validation: tuple[Pattern, ...] = ()
    """Glob patterns of the files for validation."""
    test: tuple[Pattern, ...] = ()
    """Glob patterns of the files for the test."""


class Part(Section):
    """How much is taken of some of the files."""

    files: Pattern
    """Glob pattern of the files, below the input; a file belongs to the first part whose pattern matches."""
    share: Annotated[float, Field(ge=0, le=MOST_TIMES)] = 1.0
    """Share of their rows to take. Up to 1: rows are chosen by hash, so adding rows never changes which others are
    chosen. Above 1, up to 100: each training row appears this many times in train.parquet, counted after duplicates are
    removed; at 2.5, half of the rows, chosen by hash, appear a third time. Validation and test rows are never
    repeated."""
    cap: Annotated[int, Field(ge=1)] | None = None
    """Most rows to take, before any are repeated: those with the lowest hashes; null: no limit."""
    probability: Annotated[Annotated[float, Field(gt=0, le=1)] | None, Field(exclude_if=absent)] = None
    """With `interleave`: probability (0 to 1) that the next training row comes from this part. The probabilities of all
    parts add up to 1."""


class Interleave(Section):
    """Training rows drawn from the parts of `mix` by turns, each with its probability, in the order of the files: what
    `datasets.interleave_datasets` does, row for row. Every training file belongs to a part."""

    stop: Literal["first_exhausted", "all_exhausted"] = "first_exhausted"
    """When drawing stops. first_exhausted: once every row of one part is drawn; remaining rows of other parts are left
    out as `not_sampled`. all_exhausted: once every row of every part is drawn; a part that runs out starts again, and
    no row is drawn more than 100 times."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Seed of the draws."""


class Columns(Section):
    """Names of columns for rows of no known shape, and of those that are not read. A name may lead into objects, such
    as `meta.answer`."""

    system: str | None = None
    """Column with the system prompt."""
    question: str | None = None
    """Column with what the user asks."""
    answer: str | None = None
    """Column with what the assistant answers."""
    classes: str | tuple[str, ...] | None = None
    """Instead of answer, for rows with any number of classes (`train.labels: several`): a column with a list of class
    names, or a text that `separator` parts; or several columns of 0 and 1, each of which is a class. The answer becomes
    a JSON list."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """What parts the class names in a text of `classes`, such as `;`. null: the text is a list in JSON's or Python's
    form, or one class."""
    text: str | None = None
    """Column with raw text; instead of question and answer."""
    labels: tuple[str, ...] = ()
    """Class names for answers that are numbers, in the order of the numbers from 0: [negative, positive]. Empty: taken
    from a features file, the schema of a table, or a dataset card in the data."""
    trained: str | None = None
    """Key of a message that is true if the message is trained, in addition to the known ones such as `loss` and
    `train`."""
    masked: str | None = None
    """Key of a message that is true if the message is not trained, such as `mask`; in addition to `masked`, which is
    known."""
    ignored: tuple[str, ...] = ()
    """Columns, and keys of messages, to leave out although they look like an answer, a loss mask or an image."""

    @model_validator(mode="after")
    def _answered_once(self) -> Self:
        if self.classes is not None and (self.answer is not None or self.text is not None):
            raise ValueError("columns.classes replaces the answer; remove columns.answer and columns.text")
        if self.separator is not None and not isinstance(self.classes, str):
            raise ValueError("columns.separator has an effect only beside columns.classes with one column; remove it")
        if isinstance(self.classes, tuple) and len(self.classes) < 2:
            raise ValueError("columns.classes as a list needs at least two columns of 0 and 1")
        return self

    @model_validator(mode="after")
    def _one_role_each(self) -> Self:
        roles: dict[str, str] = {}
        for role in ("system", "question", "answer", "classes", "text"):
            names = getattr(self, role)
            for name in (names,) if isinstance(names, str) else names or ():
                if name in roles:
                    raise ValueError(f"columns.{roles[name]} and columns.{role} both name {name}; name another column")
                roles[name] = role
        return self

    @property
    def flags(self) -> tuple[str, ...]:
        """The columns of 0 and 1 that are classes."""
        return self.classes if isinstance(self.classes, tuple) else ()

    @property
    def is_mapped(self) -> bool:
        """Whether the answers, or texts, of some rows stand under names of the user's."""
        return bool(self.answer or self.text or self.classes)

    @property
    def class_columns(self) -> tuple[str, ...]:
        """All columns that hold classes."""
        return (self.classes,) if isinstance(self.classes, str) else self.flags


class Settings(Section):
    """Section `clean` of params.yaml."""

    input: Location = str(PATHS.generated)
    """Folder or file with the rows; a path from the project's root."""
    hub: Pinned | None = None
    """A dataset on the hub with a pinned revision, as `organisation/name@<40 hex digits>`; used instead of input."""
    splits: Splits = Splits()
    """Which files belong to which split. Without patterns, a row's own key `split` decides."""
    mix: tuple[Part, ...] = ()
    """How much to take of which files; files that match no part are taken whole."""
    interleave: Annotated[Interleave | None, Field(exclude_if=absent)] = None
    """Draw training rows at random from the parts of `mix`, by their `probability`; null: take all rows that `mix`
    selects, file after file."""
    shape: Literal[
        "auto", "messages", "alpaca", "sharegpt", "prompt_completion", "preference", "kto", "anchored", "text"
    ] = "auto"
    """Format of the rows; `auto` recognises each row by its keys."""
    columns: Columns = Columns()
    """Which columns hold the parts of a row. A row of a known format that has none of them, such as a preference in
    another file, is read by its own keys."""
    alpaca_instruction: bool = True
    """Keep the instruction of an Alpaca row that has an input, as a paragraph before the input."""
    validation_share: float = Field(0.05, ge=0, lt=1)
    """Share of training rows (0 to 1) moved to validation, chosen by hash, if no rows are assigned to it."""
    test_share: float = Field(0.0, ge=0, lt=1)
    """Share of training rows (0 to 1) moved to the test split, chosen by hash, if no rows are assigned to it."""
    group: str | None = None
    """Key of a row, such as `document`: rows with the same value stay in one split. null: rows with the same request
    do."""
    stratify: str | None = None
    """Key of a row, such as `source`: each of its values keeps its proportion in the splits that are drawn, as nearly
    as whole rows and groups allow. null: rows are drawn by hash alone, so proportions hold only for many rows. The
    order of rows has no effect. Adding rows never moves a row with another value to a different split; of rows with the
    same value it moves only those whose hash lies between the old and the new border of a split, all in one
    direction."""
    order_key: Annotated[Annotated[str, Field(min_length=1)] | None, Field(exclude_if=absent)] = None
    """Key of a row, such as `difficulty`, whose value (a number or a text) is kept for `train.order: key`; each
    training row needs one. Packs are then filled in that order, which leaves them slightly less full. null: none."""
    duplicates: bool = True
    """Remove duplicates: within a split, and from training if a validation or test row has the same request."""
    near_duplicate: float | None = Field(0.8, gt=0, le=1)
    """Jaccard similarity of words (0 to 1) from which a training row counts as a near-duplicate of a test row and is
    removed; null: off."""
    near_duplicates_within: float | None = Field(None, gt=0, le=1)
    """Jaccard similarity of words (0 to 1) from which rows count as near-duplicates of each other. One row of each
    cluster stays: a test row before a validation row before a training row, then the one with the longest answer, then
    the first; a cluster goes into one split as a whole. null: off."""
    passage: int | None = Field(13, ge=3)
    """A training row must not share a passage of this many words with the request of a test row; null: off."""
    benchmarks: tuple[str, ...] = ()
    """Tasks of lm-eval, by name or as YAML in data/scoring: rows that repeat their questions are removed, except from
    the test, with the thresholds `near_duplicate` and `passage`."""
    conflicts: Literal["keep", "drop"] = "keep"
    """Training rows with different answers to the same request: keep them (and count them), or drop all of them.
    Validation and test rows stay, and are counted."""
    repair: tuple[Fix, ...] = FIXES
    """What is repaired in texts if it is certain: UTF-8 read with the wrong encoding, split surrogate pairs, terminal
    escape codes, control characters, and Unicode normal form NFC. Repaired rows are counted and listed in
    `reported.parquet`. Empty: nothing is repaired."""
    quality: Quality = Quality()
    """Filters for rows that are not worth training on. off: do not look for them; report: count and keep them; drop:
    remove them."""
    privacy: Privacy = Privacy()
    """What happens to rows with secrets or personal data. off: do not look for them; report: count and keep them;
    redact: replace each value with a placeholder such as `[email]`; drop: remove them."""
    max_loss: Share = 0.2
    """Share of rows (0 to 1) that may be removed before the stage fails; rows that `mix` does not take do not count."""

    @model_validator(mode="after")
    def _turns(self) -> Self:
        if self.interleave is None:
            if any(part.probability is not None for part in self.mix):
                raise ValueError("mix[].probability has no effect without interleave; set interleave, or use share")
            return self
        if len(self.mix) < 2:
            raise ValueError("interleave draws from the parts of mix; define at least two parts")
        for part in self.mix:
            if part.probability is None:
                raise ValueError(f"interleave needs a probability for each part of mix, and '{part.files}' has none")
            if part.share > 1:
                raise ValueError(
                    f"interleave decides how often rows are repeated; set the share of '{part.files}' to at most 1"
                )
        total = sum(part.probability or 0 for part in self.mix)
        if abs(total - 1) > PRECISION:
            raise ValueError(f"the probabilities of the parts of mix add up to {total:.6g}, but must add up to 1")
        return self

    @property
    def row_keys(self) -> tuple[str, ...]:
        """Keys of rows that say what becomes of a row, and are no content of it."""
        return tuple(key for key in (self.group, self.stratify, self.order_key) if key)
