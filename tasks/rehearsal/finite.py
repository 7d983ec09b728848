"""Weights that are NaN or infinite, in whatever the settings name: a stage says so when it loads them, which may be
after hours. And matrices of the base that are all zero, which no stage refuses: nothing can be learned through them.

    errors, remarks = look({"base", "train"}, Paths())
"""

from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import ModelError, TemperError
from tasks.core.numbers import enumerated, storage
from tasks.core.paths import Paths
from tasks.merge.combine import other_adapters
from tasks.models.skeleton import configured_base
from tasks.rehearsal import guiding
from tasks.rehearsal.sections import section

MOST = 8 * 2**30
"""Bytes of weights that are read of a model: some seconds from a disk, and less where the system still holds them."""


SHOWN = 3
"""Kinds of matrices that a sentence names."""


def look(needed: set[str], paths: Paths) -> tuple[list[TemperError], list[str]]:
    """Errors of the weights that are there, and a remark for each model too large to be read whole.

    `needed`: the stages that are asked.
    """
    errors: list[TemperError] = []
    remarks: list[str] = []
    configured = configured_base()
    base = configured[1] if configured else None
    for folder in dict.fromkeys(_folders(needed, paths)):
        if not any(folder.glob("*.safetensors")):
            continue  # on the hub, and not downloaded yet; or another format
        from tasks.models.finite import check_stored  # it loads torch

        try:
            reading = check_stored(folder, MOST)
        except ModelError as error:
            errors.append(error)
            continue
        if reading.zero and folder == base:
            kinds = enumerated(reading.zero[:SHOWN])
            errors.append(ModelError(f"{folder}: every number of {kinds} is 0; restore the files, or make them again."))
        if reading.read < reading.total:
            remarks.append(
                f"{folder}: the first {reading.read / reading.total:.0%} of each tensor ({storage(reading.total)} of "
                "weights in all) was checked for NaN and infinite values; a stage that loads the rest checks it."
            )
    return errors, remarks


def _folders(needed: set[str], paths: Paths) -> Iterator[Path]:
    if "base" in needed and (configured := configured_base()) is not None:
        yield configured[1]
    train, align = section("train"), section("align")
    starts = {"train": train.enabled and train.start, "align": align.objective != "off" and align.adapter}
    for stage, name in starts.items():
        if stage in needed and name:
            from tasks.models.start import adapter_folder  # as above

            yield adapter_folder(stage, name, paths)
    for folder, _ in guiding.models(needed):
        yield folder
    if "merge" in needed and (combine := section("merge").combine) is not None:
        yield from other_adapters(combine, paths.adapters).values()
