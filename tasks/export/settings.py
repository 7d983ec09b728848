"""Section `export` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Settings as Section

FORMATS = ("ollama", "adapters", "meta", "torchtune", "litgpt", "cog")


class Settings(Section):
    """The section `export`."""

    formats: list[Literal["ollama", "adapters", "meta", "torchtune", "litgpt", "cog"]] = Field(default_factory=list)
    """Formats to export, each once: ollama, adapters (base and adapters side by side), meta, torchtune, litgpt, cog; []
    for none."""
    gguf: Literal["f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] = "q8_0"
    """Data type of the matrices in the GGUF file for Ollama."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Temperature in the Modelfile; 0 takes the most likely token, as the evaluation does."""
