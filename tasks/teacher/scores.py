"""How likely a teacher on a server finds tokens that it is sent, in the forms in which servers tell it.

`prompt_logprobs` (vLLM, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html): beside OpenAI's keys a
request to /v1/completions has `prompt_logprobs: k`. The choice has a list with an entry a token: null for the first
one, else the k likeliest tokens by their ids and the token that stands there, each with its log-probability.

`echo` (https://platform.openai.com/docs/api-reference/completions): the request has `echo: true` and `logprobs: k`. The
choice has `logprobs` with lists side by side, of the prompt and what is answered: `tokens` (texts), `token_logprobs`
and `top_logprobs` (log-probabilities by text), null for the first token. Texts stand for tokens, so whoever reads the
scores finds the ids.

`generate` (SGLang, https://docs.sglang.io/basic_usage/native_api.html): the request to /generate has `input_ids`,
`return_logprob`, `logprob_start_len: 0` and `top_logprobs_num: k`. `meta_info` has `input_token_logprobs` and
`input_top_logprobs`: of each token [log-probability, id, text], and a list of such for the k likeliest.

`next_token` (llama.cpp, https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md): a request to
/v1/completions for each token, with the ids before it as the prompt, `logprobs: k`, and a `logit_bias` by which the
token that stands there is the one that is answered. `logprobs.content` has its id and log-probability, and those of the
k likeliest, before the bias. The server keeps what it has read, so a row costs about what it would cost to write it.

All are in nats, whatever the temperature.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.teacher.errors import FatalError, NoLikelihoods
from tasks.teacher.reading import tokens
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Form

Name = int | str
"""A token by its id, or by its text where the server tells no more."""

DIGITS = 6
"""Of a log-probability, behind the point, in the record."""

MOST = 1.01
"""What the probabilities of tokens add up to, at most; servers round."""

BIAS = 100
"""What is added to the logit of a token to have it answered; the most that OpenAI's protocol allows."""

ALL = 10**7
"""More tokens than any vocabulary has."""

LEAST = -9999.0
"""Log-probability of a token without any, as vLLM writes it: the token that stands there is always told of."""

AS_ID = re.compile(r"token_id:(\d+)")
"""How vLLM writes tokens that it is told to write as ids (return_tokens_as_token_ids)."""


@dataclass(frozen=True)
class Position:
    """What a server returns for one token of the prompt."""

    own: float | None
    """Log-probability of the token that stands there; None where it returns none."""
    text: str
    """That token, as the server reads it; "" where it returns none."""
    likeliest: dict[Name, float]
    """Log-probabilities of the likeliest tokens, without that one."""


def asked(form: Form, top: int) -> dict[str, Any]:
    """Keys of a request for the `top` likeliest tokens. One token is answered, for servers want that."""
    keys: dict[Form, dict[str, Any]] = {
        "prompt_logprobs": {"prompt_logprobs": top},
        "echo": {"echo": True, "logprobs": top},
        "generate": {"return_logprob": True, "logprob_start_len": 0, "top_logprobs_num": top},
        "next_token": {"logprobs": top},
    }
    return {**keys[form], "max_tokens": 1}


def form_of(request: Request) -> Form:
    """The form in which `request` asks."""
    if "prompt_logprobs" in request.sampling:
        return "prompt_logprobs"
    if "top_logprobs_num" in request.sampling:
        return "generate"
    return "next_token" if request.by_prefix else "echo"


def sent(request: Request, url: str, *, among_all: bool = False) -> tuple[str, dict[str, Any]]:
    """Where one of the `parts` of a request goes on the server at `url`, and what.

    `among_all`: the first token of the row is answered in the place of the one that stands there, with the likelihoods
    of all tokens. llama.cpp tells none where what is answered is the beginning of a character.
    """
    if request.by_prefix:
        *before, own = request.content["ids"]
        keys = {**request.sampling, **({"logprobs": ALL} if among_all else {})}
        bias = {str(before[0] if among_all else own): BIAS}
        return f"{url}/completions", {"model": request.model, "prompt": before, **keys, "logit_bias": bias}
    if form_of(request) != "generate":
        return f"{url}/completions", request.body()
    keys = dict(request.sampling)
    sampling = {"temperature": keys.pop("temperature"), "top_p": keys.pop("top_p")}
    sampling["max_new_tokens"] = keys.pop("max_tokens")
    return f"{url.removesuffix('/v1')}/generate", {
        "input_ids": request.content["ids"], "sampling_params": sampling, "return_text_in_logprobs": True, **keys,
    }  # fmt: skip


def read_scores(body: Any, request: Request) -> Response:
    """The scores of the stretches in the request's content, and their text as the server reads their tokens.

    Raises `FatalError` where the server tells no likelihoods, or those of other tokens; `KeyError` and the like where
    the body is no answer.
    """
    ids, form = request.content["ids"], form_of(request)
    positions = READERS[form](body, ids)
    if positions is None:
        raise NoLikelihoods(
            f"the server returns no likelihoods of a prompt's tokens when it is asked by {form}; distill.form lists "
            "the ways to ask. If it supports none of them, learn from its answers: generate rows with it "
            "(generate.teacher), and train on them",
            "input",
        )
    if len(positions) != len(ids):
        raise FatalError(
            f"the server reads {len(ids)} tokens as {len(positions)}; use a teacher with the base's tokens", "input"
        )
    scores, text, top = [], "", _top(request)
    for start, end in request.content["spans"]:
        for place in range(start, end):
            position = positions[place]
            if position.own is None:
                raise FatalError(
                    f"the server returns no likelihood of the token at position {place} of a row; use a teacher with "
                    "the base's tokens",
                    "input",
                )
            scores.append(_ranked(position, ids[place], top, place))
            text += position.text
    if form == "generate":
        usage, reason = body["meta_info"], (body["meta_info"].get("finish_reason") or {}).get("type")
    else:
        usage, reason = body.get("usage") or {}, body["choices"][0].get("finish_reason")
    received, answered, _ = tokens(usage)
    return Response(text, reason, (), received, answered, scores=tuple(scores))


def _by_prompt_logprobs(body: Any, ids: list[int]) -> list[Position] | None:
    entries = body["choices"][0].get("prompt_logprobs") or body.get("prompt_logprobs")
    if not entries:
        return None
    positions = []
    for entry, own in zip([one or {} for one in entries], [*ids, *[-1] * len(entries)], strict=False):
        likeliest: dict[Name, float] = {int(token): float(value["logprob"]) for token, value in entry.items()}
        text = (entry.get(str(own)) or {}).get("decoded_token") or ""
        positions.append(Position(likeliest.pop(own, None), text, likeliest))
    return positions


def _by_echo(body: Any, ids: list[int]) -> list[Position] | None:
    logprobs = body["choices"][0].get("logprobs") or {}
    texts, own, likeliest = (logprobs.get(name) or [] for name in ("tokens", "token_logprobs", "top_logprobs"))
    if "content" in logprobs or (texts and not likeliest) or 0 < len(texts) <= 1 < len(ids):
        return None  # as a chat has it, and llama.cpp's server: of what is answered alone
    positions = []
    for text, value, others in zip(texts, own, likeliest, strict=True):
        named = {name: float(one) for name, one in (others or {}).items() if name != text}
        by_name: dict[Name, float] = {
            int(as_id[1]) if (as_id := AS_ID.fullmatch(name)) else name: one for name, one in named.items()
        }
        shown = "" if AS_ID.fullmatch(text) else text
        positions.append(Position(None if value is None else float(value), shown, by_name))
    answered = len(positions) - len(ids) == 1  # the token that it had to answer stands behind the prompt's
    return (positions[:-1] if answered else positions) or None


def _by_generate(body: Any, ids: list[int]) -> list[Position] | None:
    about = body["meta_info"]
    own, likeliest = about.get("input_token_logprobs"), about.get("input_top_logprobs")
    if not own or not likeliest:
        return None
    positions = []
    for (value, token, text), others, place in zip(own, likeliest, range(len(own)), strict=True):
        fits = place < len(ids) and token == ids[place]
        alternatives: dict[Name, float] = {int(other): float(one) for one, other, *_ in others or [] if other != token}
        positions.append(Position(float(value) if fits and value is not None else None, text or "", alternatives))
    return positions


def _by_next_token(body: Any, ids: list[int]) -> list[Position] | None:
    logprobs = body["choices"][0].get("logprobs") or {}
    if not isinstance(logprobs.get("content"), list) or "id" not in logprobs["content"][0]:
        return None
    (entry,) = logprobs["content"]
    values: dict[Name, float] = {int(one["id"]): float(one["logprob"]) for one in entry["top_logprobs"]}
    values.setdefault(int(entry["id"]), float(entry["logprob"]))
    own = values.pop(ids[-1], None)
    text = entry["token"] if entry["id"] == ids[-1] else ""
    return [*[Position(None, "", {})] * (len(ids) - 1), Position(own, text, values)]


READERS: dict[Form, Callable[[Any, list[int]], list[Position] | None]] = {
    "prompt_logprobs": _by_prompt_logprobs,
    "echo": _by_echo,
    "generate": _by_generate,
    "next_token": _by_next_token,
}
"""From the body of an answer and the ids that were asked about to what is told of each; None where nothing is."""


def _top(request: Request) -> int:
    """How many likeliest tokens `request` asks for."""
    form = form_of(request)
    return int(
        request.sampling[{"prompt_logprobs": "prompt_logprobs", "generate": "top_logprobs_num"}.get(form, "logprobs")]
    )


def _ranked(position: Position, own: int, top: int, place: int) -> list[list[Any]]:
    """Names, likeliest first, and their log-probabilities: the `top` likeliest, and the token that stands there."""
    values = {**position.likeliest, own: float(position.own or 0.0)}
    if any(math.isnan(value) or value > 1e-3 for value in values.values()):
        raise FatalError(
            f"the server's likelihoods at position {place} of a row are not log-probabilities "
            f"({', '.join(f'{value:g}' for value in list(values.values())[:3])}), which are 0 or less; serve the "
            "teacher with finite weights, on a server that returns logarithms",
            "input",
        )
    if (total := sum(math.exp(value) for value in values.values())) > MOST:
        raise FatalError(
            f"the server's probabilities at position {place} of a row add up to {total:.3g}, more than 1; serve the "
            "teacher on a server that returns natural logarithms of probabilities",
            "input",
        )
    others = sorted(
        (-value, isinstance(name, str), name) for name, value in position.likeliest.items() if value > -math.inf
    )
    ranked = sorted([*others[:top], (-max(values[own], LEAST), False, own)])
    return [[name for *_, name in ranked], [round(min(0.0, -value), DIGITS) for value, *_ in ranked]]
