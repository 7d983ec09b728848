"""The teachers as distilabel LLMs: the grammar, offline; or a server that speaks OpenAI's chat protocol."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import openai
from distilabel.models.llms.base import LLM
from distilabel.models.llms.openai import OpenAILLM
from distilabel.models.llms.utils import prepare_output

from tasks.generate import Teacher
from tasks.generate.program import Grammar, answer, load

KEYLESS = "none"
"""Sent as the key to servers that need none; the client insists on one."""


class ProgramTeacher(LLM):  # type: ignore[misc]
    """Answers a request with the command that the grammar in `seed` finds for it: no server, no model, no chance."""

    seed: str
    """Path of the seed folder."""

    @property
    def model_name(self) -> str:
        return "program"

    @cached_property
    def grammar(self) -> Grammar:
        return load(Path(self.seed))

    def generate(self, inputs: list[Any], num_generations: int = 1) -> list[Any]:
        """Answer each of `inputs` (chats; the last message is the request); None where no phrasing fits."""
        outputs = []
        for messages in inputs:
            request = messages[-1]["content"]
            found = answer(self.grammar, request)
            counts = [len(request.split())], [len(found.split()) if found else 0]
            outputs.append(prepare_output([found] * num_generations, *(count * num_generations for count in counts)))
        return outputs


class ServerTeacher(OpenAILLM):  # type: ignore[misc]
    """Asks a server. A request that fails costs its own answer only; distilabel would drop those of its batch."""

    async def agenerate(
        self, input: Any, num_generations: int = 1, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Any:
        """Answer one chat; None where the server refuses, fails or stays silent after all retries."""
        try:
            return await super().agenerate(
                input, num_generations=num_generations, max_new_tokens=max_new_tokens, temperature=temperature
            )
        except openai.OpenAIError as error:
            self._logger.warning(f"WARNING the teacher gave no answer: {error}")
            return prepare_output([None] * num_generations)


def teacher(settings: Teacher, seed: str) -> LLM:
    """The LLM that `settings` describe; a server's key is read from the environment here and kept nowhere else."""
    if settings.kind == "program":
        return ProgramTeacher(seed=seed)
    key = os.environ[settings.key_variable] if settings.key_variable else KEYLESS
    return ServerTeacher(
        model=settings.model,
        base_url=settings.base_url,
        api_key=key,
        timeout=settings.request_timeout,
        max_retries=settings.max_retries,
        generation_kwargs={"temperature": settings.temperature, "max_new_tokens": settings.max_new_tokens},
    )
