"""Settings of episodes: what the model may call, what answers it, and how long that goes on."""

from typing import Annotated

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section

Positive = Annotated[int, Field(ge=1)]

NAME = r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$"
InFile = Annotated[str, Field(pattern=NAME)]
"""Something in a Python file of data/guides, as file.py:name."""


class Episodes(Section):
    """Several turns an answer, for grpo and gmpo: the model calls tools, or an environment replies to it.

    Without `tools` and `environment` an answer is one turn.
    """

    tools: tuple[InFile, ...] = ()
    """Functions that the model may call, each as file.py:function in data/guides. The model is shown each parameter's
    type and its line in the docstring (an indented `name: what it is` under `Args:`), so both are required. The
    model reads what the function returns."""
    environment: InFile | None = None
    """A class as file.py:Class in data/guides; each episode gets a new instance. `reset(prompt, reference)` starts the
    episode and may return a text, which is added to the end of the prompt. `step(answer)` returns a text and whether
    the episode is over. Other methods are tools, unless their names start with _. `get_reward()` returns the reward of
    `kind: environment`."""
    max_turns: Positive = 4
    """Most turns of the model in an episode."""
    max_tokens: Annotated[int, Field(ge=2)] = 512
    """Most tokens of an episode after its prompt, replies of tools and environment included. `answer_tokens` limits a
    single turn."""
    tool_seconds: Annotated[float, Field(ge=0.01, le=3600)] = 10.0
    """Longest time that one call of a tool or the environment may take, in seconds of wall-clock time."""
    held_out: Annotated[int, Field(ge=0)] = 32
    """Rows of the validation split, at most, to play before the first step and after the last one, always with the most
    likely token. They are never trained on."""

    @property
    def on(self) -> bool:
        """Whether answers are episodes."""
        return bool(self.tools or self.environment)

    @model_validator(mode="after")
    def _acts(self) -> "Episodes":
        changed = [name for name, key in type(self).model_fields.items() if getattr(self, name) != key.default]
        if changed and not self.on:
            raise ValueError(f"{changed[0]} has no effect without tools or environment; set one of them, or remove it")
        names = [name.partition(":")[2] for name in self.tools]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two tools are named {twice}, so the model cannot tell them apart; rename one")
        return self


def absent(episodes: Episodes) -> bool:
    """Whether a section is as it is without them, and does not name them in the record of settings."""
    return not episodes.on
