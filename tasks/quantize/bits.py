"""nf4 and int8 by bitsandbytes: a Hugging Face folder whose config.json says how it is quantised."""

import json
from pathlib import Path
from typing import Any

import torch

from tasks.contract.files import write_json
from tasks.contract.loading import keep_packing


def write_bits(scheme: str, merged: Path, out: Path) -> None:
    """Load `merged` quantised by `scheme` (nf4 or int8) and save it into `out`, tokenizer included."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(
        merged, quantization_config=_config(scheme, merged), trust_remote_code=False, use_safetensors=True
    )
    keep_packing(model)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(merged, trust_remote_code=False).save_pretrained(out)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((out / name).read_text())
        write_json(out / name, {key: value for key, value in values.items() if key != "transformers_version"})


def _config(scheme: str, merged: Path) -> Any:
    from transformers import BitsAndBytesConfig

    if scheme == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    stored = json.loads((merged / "config.json").read_text())["dtype"]
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, stored),
    )
