"""One GGUF file, as `tasks.models.gguf` converts it."""

from pathlib import Path

from tasks.models.gguf.convert import write_gguf
from tasks.quantize.schemes import Calibration


def write(kind: str, merged: Path, out: Path, calibration: Calibration) -> None:
    """Write `merged` into `out` as one GGUF file, its matrices as `kind`."""
    write_gguf(merged, out / f"model-{kind}.gguf", kind, calibration.rows() if calibration.importance else [])
