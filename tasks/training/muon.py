"""Muon (Jordan 2024) for matrices, AdamW for everything else, as one optimiser that can be saved."""

from math import sqrt
from typing import Any

import torch

from tasks.training.arguments import processor_has_bfloat16
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
            kind = torch.optim.Muon if torch.cuda.is_available() or processor_has_bfloat16() else WideMuon
            parts.append(kind(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
        if others:
            parts.append(torch.optim.AdamW(others, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))
        super().__init__(parts, lr)


class WideMuon(torch.optim.Muon):
    """Muon whose matrices are orthogonalised in float32.

    torch's own does it in bfloat16, which a processor without arithmetic for it computes sixty times slower. One that
    has it takes 0.4 of float32's seconds, and of a small model's step it is two fifths.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; as torch's own, with the same states."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight.grad)
                momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                update = orthogonalised(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update, alpha=-group["lr"] * 0.2 * sqrt(max(weight.shape)))


def orthogonalised(matrix: torch.Tensor, coefficients: Any, steps: int, eps: float) -> torch.Tensor:
    """`matrix` (M, N) with singular values of about 1, by Newton and Schulz's iteration, in its own type."""
    linear, cubic, quintic = coefficients
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=eps)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic), wide, beta=linear)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


def _ends(model: Any) -> list[Any]:
    return [part for part in (model.get_input_embeddings(), model.get_output_embeddings()) if part is not None]
