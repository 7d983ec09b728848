"""int8 and float8 weights by torchao: a Hugging Face folder that loads where torchao is installed."""

from pathlib import Path
from typing import Any

from tasks.models.classes import from_pretrained
from tasks.quantize.bits import save_folder
from tasks.quantize.schemes import Calibration


def write(kind: str, merged: Path, out: Path, calibration: Calibration) -> None:
    """Load `merged` quantised by `kind` (int8, float8; weights only) and save it into `out`, tokenizer included."""
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    how: Any = {"int8": Int8WeightOnlyConfig, "float8": Float8WeightOnlyConfig}[kind]()
    save_folder(from_pretrained(merged, quantization_config=TorchAoConfig(how)), merged, out)
