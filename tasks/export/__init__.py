"""The merged model as other places want it: one folder a format, each proved against the merged model.

    python -m tasks export FORMAT

In: data/merged, data/templated/tokenizer, data/trained, data/adapters. Out: data/exported/FORMAT (and `export.json`).
Formats:

    ollama    a GGUF file and a Modelfile: the chat template translated, stop tokens, parameters
    adapters  base and adapters side by side, as vLLM (--lora-modules) and LoRAX serve them
    meta      consolidated.00.pth and params.json, as Meta's own code and torchtune read a Llama
    torchtune torchtune_model_0.pt, with Meta's params.json for its sizes
    litgpt    lit_model.pth and model_config.yaml

data/merged itself is what transformers, vLLM, text-generation-inference and mlx-lm load; data/quantized/gguf-* is what
llama.cpp and LM Studio load.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tasks.contract.errors import SettingsError
from tasks.contract.paths import Paths
from tasks.contract.settings import Settings as Section

FORMATS = ("ollama", "adapters", "meta", "torchtune", "litgpt")


class Settings(Section):
    """The section `export`."""

    formats: list[Literal["ollama", "adapters", "meta", "torchtune", "litgpt"]] = Field(default_factory=list)
    """Which are made, each once; [] for none."""
    gguf: Literal["f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] = "q8_0"
    """Type of the matrices in the GGUF file for Ollama."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Temperature that the Modelfile sets; 0 takes the most likely answer, as the evaluation does."""

    @field_validator("formats")
    @classmethod
    def _once(cls, formats: list[str]) -> list[str]:
        if twice := sorted({name for name in formats if formats.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} stands more than once")
        return formats


def run(settings: Settings, paths: Paths, name: str = "") -> None:
    """Write one format; see the module's docstring."""
    if name not in FORMATS:
        raise SettingsError(f"export: unknown format '{name}'; known: {', '.join(FORMATS)}.")
    from tasks.export.export import export

    export(settings, paths, name)
