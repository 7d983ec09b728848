"""What PPO expects of an answer before each of its tokens: a head on the policy's trunk, or a model of its own.

Shapes: `B` rows, `T` tokens of prompt and answer, `H` numbers for a token between two layers.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tasks.align import guides
from tasks.align.reward_model import check_tokens
from tasks.align.settings import TRUNK, Settings
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.models.foreign import foreign
from tasks.models.loading import check_finite

FILE = "value.safetensors"
"""In a checkpoint, beside the policy: the weights that tell values, and the coefficient of the divergence."""

COEFFICIENT = "kl_coefficient"

HEAD = "score"
"""The name of the head in transformers' models that give numbers for a text."""


class TrunkValues(torch.nn.Module):
    """A linear head on what the policy's trunk computes anyway; it begins at 0, which favours no answer."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        width = policy.config.get_text_config().hidden_size
        self.head = torch.nn.Linear(width, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        self._hidden: Any = None
        whole = policy.get_base_model() if hasattr(policy, "peft_config") else policy
        whole.base_model.register_forward_hook(self._keep)

    def _keep(self, module: Any, inputs: Any, output: Any) -> None:
        self._hidden = output.last_hidden_state  # (B, T, H)

    def forward(self, ids: Any, mask: Any) -> Any:
        """Values (B, T) of the rows that the policy has just read."""
        hidden, self._hidden = self._hidden, None
        return self.head(hidden.to(self.head.weight.dtype)).squeeze(-1)


class ModelValues(torch.nn.Module):
    """A model with one number for each token in the place of its head; all of it is trained."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Any, mask: Any) -> Any:
        """Values (B, T) of `ids` (B, T)."""
        output = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        return self.model.score(output.last_hidden_state).squeeze(-1)


def load(settings: Settings, paths: Paths, policy: Any, tokenizer: Any) -> Any:
    """What tells values, as `settings.value` says; raises `InputError` where a folder holds no model that can."""
    if settings.value == TRUNK:
        return TrunkValues(policy)
    from transformers import AutoModelForSequenceClassification

    folder = guides.model(paths, settings.value, "align.value")
    check_tokens(folder, tokenizer)
    with foreign(folder, "put a model there that `align` or `train` has made"):
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    check_head(model, folder)
    check_finite(model, folder)
    return ModelValues(model)


def check_head(model: Any, folder: Path) -> None:
    """Raise `InputError` where `model`, that of `folder`, has no head that can be asked about each token."""
    if not isinstance(getattr(model, HEAD, None), torch.nn.Linear):
        raise InputError(
            f"{folder}: transformers has no per-token value head for the model type {model.config.model_type}; set "
            f"align.value to {TRUNK}."
        )


def save(values: Any, coefficient: float, folder: Path) -> None:
    """Write `values` and the coefficient of the divergence into the checkpoint `folder`."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in values.state_dict().items()}
    save_file({**weights, COEFFICIENT: torch.tensor(coefficient, dtype=torch.float64)}, folder / FILE)


def restore(values: Any, folder: Path) -> float:
    """Read what `save` wrote into `values`; return the coefficient."""
    weights = load_file(folder / FILE)
    coefficient = float(weights.pop(COEFFICIENT))
    values.load_state_dict(weights)
    return coefficient
