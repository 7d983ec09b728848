"""Build a tiny random model of a family, as safetensors with a tokenizer, so that each of its numbers matters."""

import math
from pathlib import Path
from typing import Any

from tests.families.configurations import FAMILIES, Family
from tests.tasks import tiny

PADDED = 384
"""Rows of embeddings where a family has more than tokens."""

STATES = ("A_log", "dt_bias", "D")
"""Parameters of state-space layers that stay near where the family's code puts them, lest the state explodes."""


def build(name: str, folder: Path, dtype: str = "float32") -> Path:
    """Save the model of the family `name` with the tests' own tokenizer (320 tokens, ChatML) in `folder`."""
    import torch

    model, tokenizer = random_model(name), tiny.tokenizer()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[15, 16, 17, 18, 19, 20]]), use_cache=False).logits
    if not torch.isfinite(logits).all():
        raise ValueError(f"{name}: a random model gives logits that are not finite; choose other sizes.")
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_model(name: str) -> Any:
    """The model of the family `name`, the same each time, as one generates with it."""
    import torch

    torch.manual_seed(0)
    model = _model(FAMILIES[name], tiny.tokenizer())
    randomise(model)
    return model.eval()


def _model(family: Family, tokenizer: Any) -> Any:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

    text = {
        "vocab_size": PADDED if family.padded else len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **family.text(),
    }
    if "hidden_size_per_layer_input" in text:
        text["vocab_size_per_layer_input"] = len(tokenizer)
    if family.vision is None:
        return AutoModelForCausalLM.from_config(CONFIG_MAPPING[family.model_type](**text))
    config = CONFIG_MAPPING[family.model_type](text_config=text, vision_config=family.vision, **family.around)
    return AutoModelForImageTextToText.from_config(config)


def randomise(model: Any) -> None:
    """Give every parameter and every stored buffer of `model` random values, biases and norms included.

    Matrices get a spread that keeps what flows through them of unit size (LeCun 1998, "Efficient BackProp").
    """
    import torch

    generator = torch.Generator().manual_seed(0)

    def draw(tensor: Any, spread: float) -> Any:
        return torch.randn(tensor.shape, generator=generator) * spread

    embeddings = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    head = model.get_output_embeddings()
    wide = {id(weight) for weight in [*embeddings, *([head.weight] if head is not None else [])]}
    stored = set(model.state_dict())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.rpartition(".")[2] in STATES:
                weight.add_(draw(weight, 0.05))
            elif weight.ndim < 2:
                weight.add_(draw(weight, 0.1))
            else:
                fan = max(min(weight.shape[-2:]) if weight.ndim == 3 else weight.shape[-1], 4)
                weight.copy_(draw(weight, 0.25 if id(weight) in wide else 1 / math.sqrt(fan)))
        for name, buffer in model.named_buffers():
            if name in stored and buffer.is_floating_point():
                buffer.add_(draw(buffer, 0.2))
