"""GPTQ and FP8 by llm-compressor: a folder in the format compressed-tensors, as vLLM and transformers load it.

GPTQ (Frantar et al. 2022, arXiv:2210.17323) rounds each weight with regard to the model's own inputs, so it wants rows
to calibrate on: the training rows' token ids, as they were trained, by the same template.
"""

from pathlib import Path

from tasks.core.errors import ModelError
from tasks.models.classes import from_pretrained
from tasks.quantize.bits import save_folder
from tasks.quantize.schemes import Calibration

GROUP = 128
"""Numbers of a row that share a scale in W4A16."""


def write(kind: str, merged: Path, out: Path, calibration: Calibration) -> None:
    """Quantise `merged` by `kind` (a scheme of compressed-tensors), calibrated on its rows, into `out`."""
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import AutoTokenizer

    rows = calibration.rows()
    model = from_pretrained(merged)
    width = min(model.config.get_text_config().hidden_size, model.config.get_text_config().intermediate_size)
    if kind == "W4A16" and width % GROUP:
        raise ModelError(
            f"gptq-w4a16: rows of {width} values cannot be divided into groups of {GROUP}; use gptq-w8a8, or a GGUF "
            "scheme."
        )
    rounding = QuantizationModifier if kind.startswith("FP8") else GPTQModifier
    oneshot(
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(merged, trust_remote_code=False),
        dataset=Dataset.from_dict({"input_ids": rows}) if rounding is GPTQModifier else None,
        recipe=rounding(targets="Linear", scheme=kind, ignore=["lm_head"]),
        max_seq_length=max(map(len, rows)),
        num_calibration_samples=len(rows),
        shuffle_calibration_samples=False,
    )
    save_folder(model, merged, out, save_compressed=True)
    (out / "recipe.yaml").unlink(missing_ok=True)
