"""What of the schemes in quantize.schemes a base cannot have, known from its configuration and its layers' classes."""

import json
from pathlib import Path
from typing import Any

from tasks.core.errors import CheckFailed
from tasks.quantize.schemes import SCHEMES


def check_shares(skeleton: Any, schemes: list[str], least: float) -> None:
    """Raise `CheckFailed` where bitsandbytes would leave more of the model `skeleton` whole than `least` allows."""
    affected = [name for name in schemes if SCHEMES[name].writer == "bits"]
    if affected and (share := quantized_share(skeleton)) < least:
        raise CheckFailed(
            f"quantize: {', '.join(affected)} would store only {share:.0%} of the layers' weights in fewer bits, less "
            f"than quantize.min_low_bits = {least:g} asks for: bitsandbytes does not quantise the other layers of this "
            f"model, such as experts; drop {', '.join(affected)} from quantize.schemes, or lower the limit."
        )


def quantized_share(skeleton: Any) -> float:
    """The share of weights in matrices, without embeddings and head, that bitsandbytes makes smaller.

    As `transformers.integrations.bitsandbytes` chooses: linear layers proper, not subclasses, and GPT-2's.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    vocabulary = skeleton.get_input_embeddings().weight.shape[0]
    head = skeleton.get_output_embeddings()
    low = {
        id(module.weight)
        for module in skeleton.modules()
        if (type(module) is torch.nn.Linear or isinstance(module, Conv1D)) and module is not head
    }
    matrices = [weight for weight in skeleton.parameters() if weight.ndim > 1 and weight.shape[0] != vocabulary]
    total = sum(weight.numel() for weight in matrices)
    return sum(weight.numel() for weight in matrices if id(weight) in low) / total if total else 1.0


def check_gguf(folder: Path, schemes: list[str]) -> None:
    """Raise `ModelError` where a scheme writes GGUF and the format here cannot say the model in `folder`."""
    if any(name.startswith("gguf-") for name in schemes):
        from tasks.models.gguf import check_architecture

        check_architecture(json.loads((folder / "config.json").read_text(encoding="utf-8")))
