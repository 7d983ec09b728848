"""Settings of the stage `clean`."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tasks.contract.settings import Settings as Section

Share = Annotated[float, Field(ge=0, le=1)]


class Splits(Section):
    """Which files make which split: glob patterns below the input; where all are empty, every data file is read."""

    train: tuple[str, ...] = ()
    """Patterns of files whose rows are for training."""
    validation: tuple[str, ...] = ()
    """Patterns of files whose rows are for validation."""
    test: tuple[str, ...] = ()
    """Patterns of files whose rows are for the test."""


class Part(Section):
    """How much is taken of some of the files."""

    files: str
    """Pattern of the files, below the input; a file belongs to the first part whose pattern fits."""
    share: Share = 1.0
    """Share of their rows (0 to 1) that is taken, chosen by hash: adding rows never changes the choice of others."""
    cap: Annotated[int, Field(ge=1)] | None = None
    """Rows taken at most, those with the lowest hashes; null: any number."""


class Columns(Section):
    """Names of columns for rows of no known shape; a name may lead into objects, such as `meta.answer`."""

    system: str | None = None
    """Column with the system prompt."""
    question: str | None = None
    """Column with what the user asks."""
    answer: str | None = None
    """Column with what the assistant answers."""
    text: str | None = None
    """Column with raw text; instead of question and answer."""


Action = Literal["off", "report", "redact", "drop"]


class Privacy(Section):
    """What becomes of rows with secrets or personal data, by kind: `off`, `report` (rows stay as they are, counted),
    `redact` (a placeholder such as `[email]` for each value; the same value of a row has the same one), `drop`.

    Promised: every text of a row is looked at, tool calls and definitions included; where a kind is redacted or
    dropped, no output of the stage has a value of it that was found, left_out.parquet included; and values are never
    in logs, in the ledger, or in the profile. Not promised: that everything is found. Names and postal addresses are
    not looked for; rules miss what they do not know, such as a password of letters only; and where a kind is reported,
    rows are shown by later stages as they are.
    """

    secret: Action = "report"
    """Keys and tokens of known forms, private keys, and passwords where one is given; not placeholders."""
    iban: Action = "report"
    """International bank account numbers whose check digits are right."""
    card: Action = "report"
    """Numbers of payment cards whose last digit is right, those for tests included."""
    email: Action = "report"
    """E-mail addresses; not those at reserved domains such as example.com."""
    phone: Action = "report"
    """Telephone numbers that the plan of their country has."""
    ip: Action = "report"
    """Addresses on the internet; not private, local or reserved ones, networks, or public name servers."""
    phone_regions: tuple[str, ...] = ("US", "GB")
    """Countries (two letters) whose telephone numbers are known without a + before them."""


class Settings(Section):
    """Section `clean` of params.yaml."""

    input: str = "data/generated"
    """Folder or file with the rows; a path from the project's root."""
    hub: str | None = None
    """A data set of the hub with pinned revision, as `organisation/name@<40 hex digits>`; takes the place of input."""
    splits: Splits = Splits()
    """Which files make which split. Without patterns a row's own key `split` decides."""
    mix: tuple[Part, ...] = ()
    """How much is taken of which files; files of no part are taken whole."""
    shape: Literal["auto", "messages", "alpaca", "sharegpt", "prompt_completion", "preference", "kto", "text"] = "auto"
    """Shape of the rows; `auto` recognises each row by its keys."""
    columns: Columns = Columns()
    """Where the parts of a row stand, for rows of no known shape."""
    alpaca_instruction: bool = True
    """Whether an Alpaca row that has an input keeps its instruction, as a paragraph before the input."""
    validation_share: float = Field(0.05, ge=0, lt=1)
    """Share of rows (0 to 1) taken from training by hash for validation, where no row is given to it."""
    test_share: float = Field(0.0, ge=0, lt=1)
    """Share of rows (0 to 1) taken from training by hash for the test, where no row is given to it."""
    group: str | None = None
    """Key of a row, such as `document`, whose equal values stay in one split when rows are drawn; null: the request."""
    duplicates: bool = True
    """Whether rows that stand twice leave: within a split, and from training where validation or test ask the same."""
    near_duplicate: float | None = Field(0.8, gt=0, le=1)
    """Jaccard similarity of words (0 to 1) from which a row is too like a test row to be trained on; null: off."""
    near_duplicates_within: float | None = Field(None, gt=0, le=1)
    """Jaccard similarity of words (0 to 1) from which rows are too like each other: of each cluster that such pairs
    connect, one stays (of the test before validation before train; then that with the longest answer; then the first),
    and clusters are drawn into one split whole; null: off."""
    passage: int | None = Field(13, ge=3)
    """Words in a row that a training row must not share with the request of a test row; null: off."""
    conflicts: Literal["keep", "drop"] = "keep"
    """Training rows that answer one request differently: kept and counted, or all of them left out."""
    privacy: Privacy = Privacy()
    """What becomes of rows with secrets or personal data."""
    max_chars: int | None = Field(100_000, ge=1)
    """Longest row (characters, all turns together); null: any length."""
    max_loss: Share = 0.2
    """Share of rows (0 to 1) that may leave before the stage fails; rows that `mix` does not take do not count."""

    @field_validator("hub")
    @classmethod
    def _pinned(cls, value: Any) -> Any:
        if value is not None and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?@[0-9a-f]{40}", value):
            raise ValueError("expected organisation/name@revision, the revision as the 40 hex digits of a commit")
        return value
