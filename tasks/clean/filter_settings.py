"""Settings of what `clean` looks for in each row: quality, and secrets or personal data."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section

Some = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]

Action = Literal["off", "report", "drop"]
Private = Literal["off", "report", "redact", "drop"]
"""What becomes of a row in which a step finds a fault: nothing, for the step is off; it stays, counted and listed in
`reported.parquet`; or it leaves."""


class Length(Section):
    """How long something may be; reasons `short_row` and `long_row`, or `short_answer` and `long_answer`."""

    action: Action = "report"
    """off; report: count rows that are too short or too long, and keep them; drop: remove them."""
    min_characters: Count | None = None
    """Fewest characters; null: no limit."""
    max_characters: Count | None = None
    """Most characters; null: no limit."""
    min_words: Count | None = None
    """Fewest words, separated by whitespace; null: no limit."""
    max_words: Count | None = None
    """Most words, separated by whitespace; null: no limit."""


class Repetition(Section):
    """How much of an answer or a text may stand twice in it; reason `repetition`."""

    action: Action = "report"
    """off; report: count such rows and keep them; drop: remove them."""
    lines: Some | None = 0.4
    """Share of characters (0 to 1) in repeated lines from which a row is faulty; null: no limit."""
    sentences: Some | None = 0.4
    """Share of characters (0 to 1) in repeated sentences from which a row is faulty; null: no limit."""
    words: Some | None = 0.5
    """Share of characters (0 to 1) in repeated sequences of 5 words from which a row is faulty; null: no limit."""
    run: Annotated[int, Field(ge=2)] | None = 50
    """A row is faulty if one letter, digit or mark occurs this many times in a row; null: no limit."""


class Echo(Section):
    """How much of an answer may repeat the question, from its beginning; reason `echo`."""

    action: Action = "report"
    """off; report: count such rows and keep them; drop: remove them."""
    share: Some = 0.5
    """Share of the answer's words (0 to 1) from which a row is faulty."""


class Language(Section):
    """Languages that question, answer and text may be in; code and what is too short to tell pass: `language`."""

    action: Action = "off"
    """off; report: count rows in other languages and keep them; drop: remove them. Takes a fifth of a millisecond per
    row."""
    wanted: tuple[Annotated[str, Field(pattern="^[a-z]{2}$")], ...] = ()
    """Language codes of ISO 639-1, such as en or de."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.action != "off" and not self.wanted:
            raise ValueError("the filter needs to know which languages to keep; list them in wanted, such as [en]")
        return self


class Quality(Section):
    """Steps over each row. Answers are those to be learned: not rejected ones, nor those with a label of false."""

    row: Length = Length(max_characters=100_000)
    """Length of all messages together, or of the text."""
    answer: Length = Length()
    """Length of the last answer; tool calls do not count."""
    repetition: Repetition = Repetition()
    """How much of an answer or a text may be repetition."""
    echo: Echo = Echo()
    """How much of an answer may repeat the question."""
    refusal: Action = "report"
    """Answers that begin with a refusal (English); not in rows with tools, where a refusal can be right."""
    boilerplate: Action = "report"
    """Answers that begin like `As an AI language model, I do not have` (English); not in rows with tools."""
    truncated: Action = "report"
    """Truncated generations: by the row's key `finish_reason` (length, max_tokens), or because they end within a
    sentence, a code block or JSON."""
    garbled: Action = "report"
    """Text that still looks garbled (mojibake, lost characters) after `repair` fixed what is certain."""
    language: Language = Language()
    """Languages that rows may be in."""


class Privacy(Section):
    """What becomes of rows with secrets or personal data, by kind: `off`, `report` (rows stay as they are, counted),
    `redact` (a placeholder such as `[email]` for each value; the same value of a row has the same one), `drop`.

    Promised: every text of a row is looked at, tool calls and definitions included; where a kind is redacted or
    dropped, no output of the stage has a value of it that was found, left_out.parquet included; and values are never
    in logs, in the ledger, or in the profile. Not promised: that everything is found. Names and postal addresses are
    not looked for; rules miss what they do not know, such as a password of letters only; and where a kind is reported,
    rows are shown by later stages as they are.
    """

    secret: Private = "report"
    """Keys and tokens of known formats, private keys, and passwords next to a word such as `password`; not
    placeholders."""
    iban: Private = "report"
    """International bank account numbers with valid check digits."""
    card: Private = "report"
    """Payment card numbers with a valid check digit, including test cards."""
    email: Private = "report"
    """E-mail addresses; not those at reserved domains such as example.com."""
    phone: Private = "report"
    """Telephone numbers that are valid in their country's numbering plan."""
    ip: Private = "report"
    """Public IP addresses; not private, local or reserved ones, networks, or public DNS servers."""
    phone_regions: tuple[str, ...] = ("US", "GB")
    """Countries (two letters) whose telephone numbers are recognised without a leading +."""
