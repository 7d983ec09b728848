"""The key `evaluate.engine`: what computes the candidates that are models here."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section


class EngineChoice(Section):
    """What computes the answers and likelihoods of candidates."""

    kind: Literal["transformers", "vllm"] = "transformers"
    """transformers: in this process, on the CPU or a GPU. vllm: on a GPU, for many rows or long answers; before that,
    `compared` rows are also computed by transformers, and both must agree. vLLM loads neither quantised models nor
    models with a head. Its answers may differ in close decisions, and from one kind of GPU to another."""
    memory: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the GPU's memory (0 to 1) that vLLM reserves, for the weights and the KV cache."""
    max_length: Annotated[int, Field(ge=16)] | None = None
    """Longest prompt with its answer that vLLM takes, in tokens; null: the model's context. Lower it if vLLM says that
    the KV cache has no room for so many."""
    compared: Annotated[int, Field(ge=1)] = 32
    """Rows of the test split that transformers computes too, drawn so that each class, or otherwise each slice and
    source, keeps its share."""
    min_same: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Share (0 to 1) of these rows whose answers must be the same. Long answers in 16 bits often part at a close
    decision; lower it for them."""
    max_difference: Annotated[float, Field(gt=0)] = 0.1
    """Largest mean difference between the log-likelihoods of these rows' references, in nats per token."""

    @model_validator(mode="after")
    def _effect(self) -> "EngineChoice":
        changed = sorted(
            name for name, value in type(self).model_fields.items() if getattr(self, name) != value.default
        )
        if self.kind == "transformers" and changed:
            raise ValueError(f"{changed[0]} has no effect with kind transformers; set kind to vllm, or remove it")
        return self


def by_transformers(choice: EngineChoice) -> bool:
    """Whether the section is as it is without it, and does not stand in the record of settings."""
    return choice == EngineChoice()
