"""Who is asked, how, and what it may cost: parts of the sections that ask teachers."""

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tasks.core.settings import SECRET
from tasks.core.settings import Settings as Section

Form = Literal["prompt_logprobs", "echo", "generate", "next_token"]
"""How a server is asked how likely it finds tokens: `tasks.teacher.scores` has each."""

HUGGING_FACE = "https://router.huggingface.co/v1"
"""Hugging Face's inference API, which speaks OpenAI's chat protocol."""


RESERVED = {"model", "messages", "prompt", "temperature", "top_p", "seed", "max_tokens", "n", "stream", "tools", "stop"}
"""Keys of a request that temper sets itself."""


class Teacher(Section):
    """Who answers, and how it is asked."""

    kind: Literal["program", "openai", "huggingface", "local"] = "program"
    """`program`: the seed's grammar, offline and exact. `openai`: any server with OpenAI's chat protocol (vLLM,
    llama.cpp, Ollama, `transformers serve`, hosted ones). `huggingface`: Hugging Face's inference API. `local`: a model
    folder, loaded in this process."""
    base_url: str | None = None
    """URL of the server, such as `http://127.0.0.1:8000/v1`; for `openai`."""
    model: str | None = None
    """Name of the model on the server; for `local` its folder, recorded by its hash (changes inside the folder do not
    by themselves rerun the stage)."""
    key_variable: str | None = None
    """Name of the environment variable with the API key, never the key itself; null: no key. If the variable is not
    set, a flow uses the Prefect Secret of that name in lower case with dashes: `MY_KEY` is `my-key`."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature (0 to 2); 0 takes the most likely token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the most likely tokens whose probabilities add up to this (0 to 1)."""
    seed: int | None = Field(None, ge=0)
    """Seed sent with each request, for servers that use it; null: none."""
    max_new_tokens: int = Field(128, ge=1)
    """Longest answer (tokens); an answer that reaches it is truncated, and is dropped."""
    threads: int | None = Field(None, ge=1)
    """`local`: CPU threads of the model, on this machine and on each node of a cluster; null: PyTorch's default on the
    machine that asks. They are part of the result: another number sums in another order."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further keys for each request, such as `top_k` or `chat_template_kwargs`, for servers that support them."""
    concurrency: int = Field(32, ge=1)
    """Most requests at the same time."""
    requests_per_minute: int | None = Field(None, ge=1)
    """Most requests started per minute; null: no limit."""
    request_timeout: float = Field(120, gt=0)
    """Longest wait for one complete answer, in seconds."""
    max_retries: int = Field(6, ge=0)
    """How many times a failed request is retried, with growing pauses or when the server says (`Retry-After`)."""
    input_price: float = Field(0.0, ge=0)
    """Price of a million input tokens, in any currency; for totals and the budget."""
    output_price: float = Field(0.0, ge=0)
    """Price of a million output tokens, in the same currency."""
    licence: str = "not stated"
    """Terms under which you may train on the teacher's answers, in one sentence, for the model card."""

    @field_validator("extra")
    @classmethod
    def _extra_is_no_setting(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := RESERVED & {*extra}:
            raise ValueError(f"{', '.join(sorted(taken))} cannot be set here")
        return extra

    @model_validator(mode="after")
    def _teacher_is_named(self) -> Self:
        for name, kinds in (("base_url", {"openai"}), ("model", {"openai", "huggingface", "local"})):
            if self.kind in kinds and not getattr(self, name):
                raise ValueError(f"a teacher of the kind '{self.kind}' needs {name}")
        if self.threads is not None and self.kind != "local":
            raise ValueError(
                f"threads has an effect only on a teacher of the kind 'local'; remove it for '{self.kind}'"
            )
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must start with http:// or https://")
        if self.base_url:
            _check_address(self.base_url)
        if "@" in (self.base_url or "").split("//")[-1].split("/")[0]:
            raise ValueError(
                "base_url contains a password; remove it, and name the variable with the key in key_variable"
            )
        return self

    @field_validator("key_variable")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise PydanticCustomError(
                SECRET, "not the name of an environment variable; if it is the key itself, remove it and revoke it"
            )
        return name

    @property
    def url(self) -> str:
        """Address of the server, without a slash at its end."""
        return (self.base_url or HUGGING_FACE).rstrip("/")

    @property
    def key_name(self) -> str | None:
        """Name of the environment variable that holds the key."""
        return self.key_variable or ("HF_TOKEN" if self.kind == "huggingface" else None)

    @property
    def name(self) -> str:
        """The teacher as rows name it."""
        return self.kind if self.kind == "program" else f"{self.kind}:{self.model}"


def _check_address(url: str) -> None:
    """Raise `ValueError` where nobody can be asked at `url`: its host, its port, or what stands behind the path."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or any(letter.isspace() for letter in url) or parts.query or parts.fragment:
        raise ValueError("base_url is not the address of a server, such as http://127.0.0.1:8000/v1")


class Budget(Section):
    """What the responses of a run may cost, those on record included; then nothing more is asked, and all is kept."""

    max_tokens: int | None = Field(None, ge=1)
    """Most input and output tokens together; null: no limit."""
    max_cost: float | None = Field(None, gt=0)
    """Highest cost at the teacher's prices, in their currency; null: no limit."""


def secret_name(variable: str) -> str:
    """Name of the Prefect Secret that a flow looks for where the environment has no such variable."""
    return variable.lower().replace("_", "-")
