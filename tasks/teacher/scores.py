"""How likely a teacher on a server finds tokens that it is sent: `prompt_logprobs` of vLLM's completions.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html: beside OpenAI's keys a request has
`prompt_logprobs: k`, and the choice has a list with an entry a token: null for the first one, else the k likeliest
tokens by their ids, and the token that stands there, each with its log-probability in nats, whatever the temperature.
"""

import math
from typing import Any

from tasks.teacher.errors import FatalError
from tasks.teacher.reading import tokens
from tasks.teacher.request import Response

KEY = "prompt_logprobs"
"""Of the request, and of the choice."""

DIGITS = 6
"""Of a log-probability, behind the point, in the record."""


def read_scores(body: Any, content: dict[str, Any]) -> Response:
    """The scores of the stretches in `content`, and their text as the server reads their tokens.

    Raises `FatalError` where the server tells no likelihoods, or those of other tokens; `KeyError` and the like where
    the body is no answer.
    """
    choice, ids = body["choices"][0], content["ids"]
    entries = choice.get(KEY) or body.get(KEY)
    if not entries:
        raise FatalError(
            f"the server returns no likelihoods of a prompt's tokens ({KEY}); serve the teacher with vLLM, or learn "
            "from its answers: generate rows with it, and train on them",
            "input",
        )
    if len(entries) != len(ids):
        raise FatalError(
            f"the server reads {len(ids)} tokens as {len(entries)}; use a teacher with the base's tokens", "input"
        )
    scores, text = [], ""
    for start, end in content["spans"]:
        for position in range(start, end):
            entry = {int(token): value for token, value in entries[position].items()}
            if ids[position] not in entry:
                raise FatalError(
                    f"the server returns no likelihood of the token at position {position} of a row; use a teacher "
                    "with the base's tokens",
                    "input",
                )
            scores.append(_ranked(entry))
            text += entry[ids[position]].get("decoded_token") or ""
    sent, answered, _ = tokens(body.get("usage") or {})
    return Response(text, choice.get("finish_reason"), (), sent, answered, scores=tuple(scores))


def _ranked(entry: dict[int, dict[str, Any]]) -> list[list[Any]]:
    """Ids, likeliest first, and their log-probabilities; those without any probability are left out."""
    values = {token: float(value["logprob"]) for token, value in entry.items()}
    if any(math.isnan(value) or value > 1e-3 for value in values.values()):
        raise ValueError("a likelihood is not a log-probability")
    ranked = sorted((-value, token) for token, value in values.items() if value > -math.inf)
    return [[token for _, token in ranked], [round(min(0.0, -value), DIGITS) for value, _ in ranked]]
