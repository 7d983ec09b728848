"""Section `train` of params.yaml."""

from typing import Annotated

from pydantic import Field, model_validator

from tasks.core.settings import absent
from tasks.named.names import Name
from tasks.training.settings import Supervised


class Settings(Supervised):
    """The section `train`."""

    enabled: bool = True
    """Whether anything is trained on rows; without it, `align.start: base` makes the tuned model."""
    start: Annotated[Name | None, Field(exclude_if=absent)] = None
    """Folder in data/starts of an adapter of the same base that training goes on from, as peft saved it; `method` and
    the keys that describe an adapter say what it is. null: a new one."""

    @model_validator(mode="after")
    def _started(self) -> "Settings":
        if self.start is not None and not self.enabled:
            raise ValueError("start has no effect where enabled is false; remove it, or set align.start to the folder")
        return self
