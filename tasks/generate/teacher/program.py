"""The offline teacher of the embedded default, as a distilabel LLM: the grammar answers what the grammar asks."""

from functools import cached_property
from pathlib import Path
from typing import Any

from distilabel.models.llms.base import LLM
from distilabel.models.llms.utils import prepare_output

from tasks.generate.program import Grammar, answer, load


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
        """Answer each of `inputs` (chats; the last message is the request); an empty text where no phrasing fits."""
        outputs = []
        for messages in inputs:
            request = messages[-1]["content"]
            command = answer(self.grammar, request) or ""
            counts = [len(request.split())], [len(command.split())]
            outputs.append(prepare_output([command] * num_generations, *(count * num_generations for count in counts)))
        return outputs
