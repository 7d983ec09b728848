"""What a teacher is asked and what it answered, and the key under which both are recorded."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.core.files import fingerprint
from tasks.teacher.settings import Teacher


@dataclass(frozen=True)
class Request:
    """A chat, a raw text to go on from, or tokens to score, with all that decides the answer; not where it is sent."""

    model: str
    content: Any
    """Messages in OpenAI's form, or a text; or, of tokens to be scored, `{"ids": [...], "spans": [[start, end], ...]}`:
    all of them, and the stretches of which the likelihoods are wanted."""
    sampling: dict[str, Any]
    """`temperature`, `top_p`, `max_tokens`, and where given `seed`, `stop`, `tools` and the teacher's `extra`."""
    sample: int = 0
    """Which of several answers to the same content this is, from 0."""

    @classmethod
    def of(cls, settings: Teacher, model: str, content: Any, sample: int = 0) -> "Request":
        """`content`: messages, or a mapping with `content` and what this request adds: `tools`, `stop`, `sample`."""
        extras = dict(content) if isinstance(content, dict) else {"content": content}
        content, sample = extras.pop("content"), extras.pop("sample", 0) + sample
        sampling = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_new_tokens,
            **({} if settings.seed is None else {"seed": settings.seed + sample}),
            **settings.extra,
            **extras,
        }
        return cls(model, content, sampling, sample)

    @cached_property
    def key(self) -> str:
        """Hex SHA-256 of the request: equal requests have equal answers."""
        return fingerprint(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """What is recorded of it."""
        return {"model": self.model, "content": self.content, "sampling": self.sampling, "sample": self.sample}

    def body(self) -> dict[str, Any]:
        """What OpenAI's protocol sends."""
        if self.is_scored:
            return {"model": self.model, "prompt": self.content["ids"], **self.sampling}
        return {"model": self.model, "prompt" if self.is_text else "messages": self.content, **self.sampling}

    @property
    def is_text(self) -> bool:
        """Whether it is a raw text, without a chat template."""
        return isinstance(self.content, str)

    @property
    def is_scored(self) -> bool:
        """Whether it asks how likely its tokens are, and not for an answer."""
        return isinstance(self.content, dict)

    @property
    def by_prefix(self) -> bool:
        """Whether each token is scored by a question of its own: what comes behind the tokens before it."""
        return self.is_scored and "logprobs" in self.sampling and "echo" not in self.sampling

    @property
    def scored_tokens(self) -> tuple[int, int]:
        """Tokens sent and answered where tokens are scored, exactly."""
        if not self.by_prefix:
            return len(self.content["ids"]), int(self.sampling["max_tokens"])
        places = [place for start, end in self.content["spans"] for place in range(start, end)]
        return sum(places), len(places)

    @property
    def token_estimate(self) -> int:
        """Tokens that it may take, about: four bytes each sent, and the longest answer. Of tokens, their number."""
        if self.is_scored:
            return sum(self.scored_tokens)
        return len(str(self.content).encode()) // 4 + int(self.sampling["max_tokens"])


@dataclass(frozen=True)
class Response:
    """What came back and was paid for; or, with `failed`, that nothing did, and why."""

    text: str = ""
    """The answer, without what the teacher thought before it."""
    finish_reason: str | None = None
    """`stop`, `length`, `tool_calls`, `content_filter`, or what else the server says."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    """In OpenAI's form, without their ids."""
    input_tokens: int | None = None
    """As the server counts them; None where it does not."""
    output_tokens: int | None = None
    """Those of the reasoning among them."""
    failed: str | None = None
    """Why there is no answer, in a sentence; None where there is one."""
    reasoning: str = ""
    """What the teacher thought, where the server tells it."""
    reasoning_tokens: int | None = None
    scores: tuple[Any, ...] = ()
    """Of tokens that were scored, for each position: ids, likeliest first, and their log-probabilities in nats."""

    def as_dict(self) -> dict[str, Any]:
        """What is recorded of it."""
        known: dict[str, Any] = {"finish_reason": self.finish_reason, "input_tokens": self.input_tokens}
        known |= {"output_tokens": self.output_tokens, "text": self.text}
        if self.reasoning:
            known["reasoning"] = self.reasoning
        if self.reasoning_tokens is not None:
            known["reasoning_tokens"] = self.reasoning_tokens
        if self.scores:
            known["scores"] = list(self.scores)
        return {**known, **({"tool_calls": list(self.tool_calls)} if self.tool_calls else {})}

    @classmethod
    def from_dict(cls, recorded: dict[str, Any]) -> "Response":
        """The response that `as_dict` recorded."""
        lists = {name: tuple(recorded.get(name, ())) for name in ("tool_calls", "scores")}
        return cls(**{**recorded, **lists})

    def is_truncated(self, limit: int) -> bool:
        """Whether it ended because it was as long as allowed (`limit` tokens), whatever reason the server gave."""
        return self.finish_reason == "length" or (self.output_tokens or 0) >= limit
