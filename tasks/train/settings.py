"""Section `train` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.core.settings import absent
from tasks.named.names import Name
from tasks.training.launch import Launch
from tasks.training.settings import Supervised

HEADED = ("lora", "dora", "rslora", "lora_plus", "full", "freeze")
"""Methods by which a classifier is tuned."""


def _rows(value: str) -> bool:
    return value == "rows"


class Settings(Supervised):
    """The section `train`."""

    enabled: bool = True
    """Train on rows. false: no training on rows; `align.start: base` makes the tuned model."""
    objective: Annotated[Literal["rows", "classify"], Field(exclude_if=_rows)] = "rows"
    """What is learned from the rows. rows: to write their answers. classify: to predict the class of a prompt, with the
    answers as classes, by a classification head instead of the language model head; the result cannot generate text,
    and is scored by evaluate's metric `classification`."""
    classes: Annotated[tuple[str, ...] | None, Field(exclude_if=absent)] = None
    """For `objective: classify`: the classes in the order of the head. null: all answers of the training rows, sorted.
    """
    class_weights: Annotated[
        Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]],
        Field(exclude_if=lambda value: value == "none"),
    ] = "none"
    """For `objective: classify`: factor of the loss per class. none: 1 for each class. balanced: rows / (classes * rows
    of the class), so that each class weighs the same. Or your own factors, as CLASS: NUMBER; a class that is not listed
    has 1."""
    start: Annotated[Name | None, Field(exclude_if=absent)] = None
    """Folder in data/starts with an adapter of the same base, as saved by peft, to continue from; `method` and the
    adapter's settings must match it. null: a new adapter."""

    @property
    def classifies(self) -> bool:
        """Whether a classifier is trained."""
        return self.objective == "classify"

    @model_validator(mode="after")
    def _started(self) -> "Settings":
        if self.start is not None and not self.enabled:
            raise ValueError("start has no effect if enabled is false; remove it, or set align.start to the folder")
        return self

    @model_validator(mode="after")
    def _classified(self) -> "Settings":
        if not self.classifies:
            for key, unset in (("classes", None), ("class_weights", "none")):
                if getattr(self, key) != unset:
                    raise ValueError(f"{key} has no effect without objective: classify; remove it, or set that")
            return self
        if not self.enabled:
            raise ValueError("objective: classify has no effect if enabled is false; set enabled to true")
        if self.start is not None:
            raise ValueError(
                "a classifier starts from the base, but start is an adapter for text generation; remove start"
            )
        if self.method not in HEADED:
            raise ValueError(f"a classifier cannot be tuned by {self.method}; set method to one of {', '.join(HEADED)}")
        if self.quantized:
            raise ValueError("a classifier cannot be trained on a quantised base; set quantization to null")
        if self.weights != "float32":
            raise ValueError("a classification head is trained in float32; set weights to float32")
        if self.launch != Launch():
            raise ValueError("a classifier is untested with several processes; remove launch")
        if self.padding_free is True:
            raise ValueError("a classifier needs padded rows; set padding_free to auto")
        if self.order != "shuffled":
            raise ValueError("order is not supported for a classifier; set it to shuffled")
        if self.samples.prompts:
            raise ValueError("a classifier generates no answers; set samples.prompts to 0")
        if self.classes is not None:
            _check_classes(self.classes)
        return self


def _check_classes(classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise ValueError("classes needs at least two entries")
    if odd := [name for name in classes if name != " ".join(name.split()) or not name]:
        raise ValueError(
            f"classes lists {odd[0]!r}; a class name must not be empty, start or end with a space, or have two spaces "
            "in a row"
        )
