"""Many short texts after one prompt: how likely each is, with the prompt computed once.

Shapes: `C` texts, `T` tokens of the prompt, `L` of the longest text, `V` vocabulary.
"""

from copy import deepcopy
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

Ids = list[int]


def shared_likelihoods(
    model: Any, prompt: Ids, texts: list[Ids], rows: int, pad: int, **limits: int
) -> list[float] | None:
    """Log-likelihood in nats of each of `texts` after `prompt`, at most `rows` of them at once.

    `limits`: `logits_to_keep=1`, for a model that can leave out the logits within the prompt, which nobody reads.
    None where the model's memory of a prompt cannot be copied: it is no attention's, or no model of transformers.
    """
    if not isinstance(model, torch.nn.Module):
        return None
    device: Any = model.device
    ids = torch.tensor([prompt], device=device)
    computed = model(input_ids=ids, use_cache=True, **limits)
    memory: Any = getattr(computed, "past_key_values", None)
    if type(memory) is not DynamicCache or any(
        type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in memory.layers
    ):
        return None
    first = computed.logits[0, -1].float().log_softmax(0)
    values: list[float] = []
    for start in range(0, len(texts), rows):
        part = texts[start : start + rows]
        values += _after(model, memory, part, first, pad) if max(map(len, part)) > 1 else _firsts(first, part)
    return values


def _after(model: Any, memory: DynamicCache, texts: list[Ids], first: torch.Tensor, pad: int) -> list[float]:
    """Padding on the right changes nothing before it: each token sees what stands to its left."""
    longest = max(map(len, texts))
    padded = torch.tensor([[*ids, *[pad] * (longest - len(ids))] for ids in texts], device=first.device)  # (C, L)
    mask = torch.tensor([[position < len(ids) for position in range(longest)] for ids in texts], device=first.device)
    copies = deepcopy(memory)
    copies.batch_repeat_interleave(len(texts))
    logits = model(input_ids=padded[:, :-1], past_key_values=copies, use_cache=True).logits.float()  # (C, L - 1, V)
    later = logits.gather(2, padded[:, 1:, None])[:, :, 0] - logits.logsumexp(2)
    sums = first[padded[:, 0]] + torch.where(mask[:, 1:], later, 0.0).sum(1)
    return [float(value) for value in sums]


def _firsts(first: torch.Tensor, texts: list[Ids]) -> list[float]:
    return [float(first[ids[0]]) for ids in texts]
