"""Section `distill` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section
from tasks.teacher.settings import Budget, Form, Teacher

WITHOUT_EFFECT = ("temperature", "top_p", "seed", "max_new_tokens", "threads")
"""Keys of a teacher about its answers: here it gives none."""


class Settings(Section):
    """The section `distill`."""

    splits: list[Literal["train", "validation"]] = Field(default_factory=list)
    """Splits whose tokens the teacher scores; [] for none. `align.objective: distill` learns from train. Add validation
    for a validation loss, at the price of its tokens."""
    teacher: Teacher | None = None
    """The teacher, in the form of generate.teacher: a server of the kind openai that returns the likelihoods of a
    prompt's tokens, such as vLLM or SGLang, with a model that has the base's tokens. It generates no answers, so keys
    about answers are refused."""
    top: Annotated[int, Field(ge=1)] = 20
    """Most likely tokens that the teacher returns at each position. vLLM allows 20, unless started with a larger
    --max-logprobs."""
    form: Form = "prompt_logprobs"
    """How it is asked, and tells. prompt_logprobs: as vLLM; echo: by OpenAI's completions with echo and logprobs, whose
    tokens are texts; generate: SGLang's own address /generate; next_token: llama.cpp's server, asked about each token
    alone. `temper check` says which of them a server knows."""
    budget: Budget = Budget()
    """The most that the responses for one split may cost; checked before anything is asked."""

    @model_validator(mode="after")
    def _has_a_teacher(self) -> Self:
        if "validation" in self.splits and "train" not in self.splits:
            raise ValueError("nothing learns from validation alone; add train to distill.splits")
        if self.splits and (self.teacher is None or self.teacher.kind != "openai"):
            raise ValueError(
                "distill.splits needs distill.teacher of the kind openai: a server that returns likelihoods, such as "
                "vLLM; to learn from a model folder, use align.objective gkd, or gold if its tokens differ"
            )
        if self.teacher is not None:
            for name in WITHOUT_EFFECT:
                if getattr(self.teacher, name) != Teacher.model_fields[name].default:
                    raise ValueError(
                        f"teacher.{name} has no effect here, since the teacher generates no answers; remove it"
                    )
        return self

    def teachers(self, split: str = "") -> list[Teacher]:
        """Whoever is asked."""
        return [self.teacher] if self.teacher else []
