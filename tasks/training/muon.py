"""Muon (Jordan 2024) for matrices, AdamW for everything else, as one optimiser that can be saved."""

from typing import Any

import torch

from tasks.training.parts import Parts


class Muon(Parts):
    """torch's own Muon takes matrices only; embeddings, the head, norms and biases get AdamW.

    The learning rate is one for both: Muon's updates are scaled to the size of AdamW's (`match_rms_adamw`, Liu 2025,
    arXiv:2502.16982).
    """

    def __init__(self, model: Any, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        """`model`: whose trainable weights are optimised."""
        ends = {id(value) for part in _ends(model) for value in part.parameters()}
        trained = [value for value in model.parameters() if value.requires_grad]
        matrices = [value for value in trained if value.ndim == 2 and id(value) not in ends]
        others = [value for value in trained if value.ndim != 2 or id(value) in ends]
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            parts.append(torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
        if others:
            parts.append(torch.optim.AdamW(others, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))
        super().__init__(parts, lr)


def _ends(model: Any) -> list[Any]:
    return [part for part in (model.get_input_embeddings(), model.get_output_embeddings()) if part is not None]
