"""A model behind a server as vLLM answers: `prompt_logprobs` of a prompt of ids, by transformers' own forward pass."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tasks.teacher_server import Asked, Reply

MOST = 50
"""Tokens a position that it allows, as `--max-logprobs` does."""


def vllm(folder: Path, tokenizer: Any) -> Callable[[Asked], Reply]:
    """The model in `folder`, which decodes by `tokenizer`."""
    import torch

    from tests.tasks import tiny

    model = tiny.loaded(folder).eval()

    def answer(asked: Asked) -> Reply:
        ids, top = asked.body["prompt"], asked.body["prompt_logprobs"]
        if top > MOST:
            message = f"Requested prompt logprobs of {top}, which is greater than max allowed: {MOST}"
            return Reply(status=400, body=json.dumps({"error": {"message": message}}).encode())
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        entries: list[Any] = [None]
        for position, own in enumerate(ids[1:]):
            likeliest = logprobs[position].topk(top)
            tokens = dict(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True))
            tokens[own] = float(logprobs[position, own])
            entries.append(
                {
                    str(token): {"logprob": value, "decoded_token": tokenizer.decode([token])}
                    for token, value in tokens.items()
                }
            )
        return scored(entries, len(ids))

    return answer


def scored(entries: list[Any] | None, sent: int) -> Reply:
    """An answer of vLLM's with these likelihoods of its prompt."""
    choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": entries}
    usage = {"prompt_tokens": sent, "completion_tokens": 1, "total_tokens": sent + 1}
    return Reply(body=json.dumps({"object": "text_completion", "choices": [choice], "usage": usage}).encode())
