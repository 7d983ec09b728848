"""Count the words of the rows that are trained: the example to copy for a stage of your own.

    python -m tasks lengths

In: data/clean/train.parquet. Out: data/lengths/lengths.json: how many words half of the rows have at most, and 90 and
99 of 100, and a ledger of the rows. It needs no tokenizer, so it tells you early which `template.max_length` to expect.

A stage is a folder in `tasks` with a `stage.py` that holds three things, in this order: the settings, `run`, and
`STAGE`, which everything reads that has to know the stage: `python -m tasks`, the flow, the form and the estimate.
Heavy libraries load inside `run`: one process checks the settings of all stages before the first one starts.
"""

from math import ceil
from typing import Annotated, Any

from pydantic import Field, field_validator

from tasks.core.declaration import Entry, Resources, Stage
from tasks.core.errors import InputError
from tasks.core.paths import PATHS, Paths
from tasks.core.settings import Settings as Section
from tasks.rows.canonical import dialogue
from tasks.rows.ledger import Ledger

__all__ = ["STAGE", "Settings", "run"]


class Settings(Section):
    """The section `lengths` of params.yaml. The form and the editor show the sentence under each key."""

    percentiles: list[Annotated[int, Field(gt=0, le=100)]] = Field(default_factory=lambda: [50, 90, 99], min_length=1)
    """Percent of the rows that have at most the number of words that is written."""
    max_empty: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of rows without a word beyond which the stage fails."""

    @field_validator("percentiles")
    @classmethod
    def _distinct(cls, percentiles: list[int]) -> list[int]:
        """What pydantic's types cannot say; the message tells the user what to change."""
        if twice := sorted({share for share in percentiles if percentiles.count(share) > 1}):
            raise ValueError(f"{twice[0]} stands more than once; remove one")
        return percentiles


def run(settings: Settings, paths: Paths) -> None:
    """Write `data/lengths/lengths.json`; its bytes depend on the rows and the settings only.

    Raises `InputError` where the rows are missing, and `LossError` where too many have no words.
    """
    import pyarrow.parquet as pq

    file = paths.rows("train")
    if not file.is_file():
        raise InputError(f"{file}: no such file; run the stage clean first.")
    ledger, lengths = Ledger(), []
    for batch in pq.ParquetFile(file).iter_batches():  # never all rows at once: there may be millions
        for row in batch.to_pylist():
            ledger.came += 1
            if count := words(row):
                lengths.append(count)
                ledger.outs["counted"] += 1
            else:
                ledger.left["no_words"] += 1
    ledger.check("lengths", settings.max_empty, "lengths.max_empty")  # in = out + each reason for leaving
    lengths.sort()
    at_most = {f"p{share}": percentile(lengths, share) for share in settings.percentiles}
    # Ledger.write goes through tasks.core.files.written: the name appears when the file is complete, or not at all.
    ledger.write(paths.data / "lengths" / "lengths.json", words=at_most, settings=settings.model_dump(mode="json"))
    print(f"lengths: {len(lengths)} rows; words {at_most}", flush=True)


def words(row: dict[str, Any]) -> int:
    """Words of a canonical row: of all turns, the wanted answer included, or of the text."""
    texts = [turn["content"] for turn in dialogue(row) or []] or [row.get("text")]
    return sum(len(str(text or "").split()) for text in texts)


def percentile(lengths: list[int], share: int) -> int:
    """The smallest of `lengths` (sorted) that `share` percent do not exceed: the nearest rank; 0 without lengths."""
    return lengths[ceil(share / 100 * len(lengths)) - 1] if lengths else 0


STAGE = Stage(
    name="lengths",  # the folder's name, the section of params.yaml, and `python -m tasks lengths`
    about="How long the rows are.",
    settings=Settings,
    run=run,
    # dvc.yaml says the same, and tests/flows/bridge/test_declaration.py compares both. A metric is a small file that
    # git keeps; a model or a table belongs in `outputs`, which DVC's cache keeps.
    entries=(Entry(inputs=(PATHS.rows("train"),), metrics=(PATHS.data / "lengths" / "lengths.json",)),),
    resources=Resources(torch=False),
)
