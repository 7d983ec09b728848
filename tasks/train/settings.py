"""Section `train` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section
from tasks.core.settings import absent
from tasks.named.names import Name
from tasks.training.launch import Launch
from tasks.training.settings import Supervised

HEADED = ("lora", "dora", "rslora", "lora_plus", "full", "freeze")
"""Methods by which a classifier or an embedding model is tuned."""


def _rows(value: str) -> bool:
    return value == "rows"


class Contrast(Section):
    """The loss of an embedding model: each question is told from the documents of the other rows of its batch."""

    temperature: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.05
    """What cosines are divided by; a lower one looks more at the nearest wrong documents."""
    chunk: Annotated[int, Field(ge=1)] | None = None
    """Texts that go through the model at one time, for a `batch_size` that does not fit into memory: the loss and its
    gradients stay those of the whole batch, for one more forward pass. null: all at one time."""


def _plain(value: Contrast) -> bool:
    return value == Contrast()


class Settings(Supervised):
    """The section `train`."""

    enabled: bool = True
    """Whether anything is trained on rows; without it, `align.start: base` makes the tuned model."""
    objective: Annotated[Literal["rows", "classify", "embed"], Field(exclude_if=_rows)] = "rows"
    """What is learned from the rows. rows: to write their answers. classify: to predict the class of a prompt, with the
    answers as classes, by a classification head instead of the language model head; the result cannot generate text,
    and is scored by evaluate's metric `classification`. embed: to give a question and its answer vectors that lie near
    each other, for search; it needs `template.embed`, and is scored by evaluate's metric `retrieval`."""
    classes: Annotated[tuple[str, ...] | None, Field(exclude_if=absent)] = None
    """For `objective: classify`: the classes in the order of the head. null: all answers of the training rows, sorted.
    """
    class_weights: Annotated[
        Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]],
        Field(exclude_if=lambda value: value == "none"),
    ] = "none"
    """For `objective: classify`: what the loss of a row is multiplied by, as CLASS: NUMBER, 1 for a class that is not
    named. balanced: rows / (classes * rows of the class), so that each class weighs the same."""
    contrast: Annotated[Contrast, Field(exclude_if=_plain)] = Contrast()
    """For `objective: embed`: the loss."""
    start: Annotated[Name | None, Field(exclude_if=absent)] = None
    """Folder in data/starts of an adapter of the same base that training goes on from, as peft saved it; `method` and
    the keys that describe an adapter say what it is. null: a new one."""

    @property
    def classifies(self) -> bool:
        """Whether a classifier is trained."""
        return self.objective == "classify"

    @property
    def embeds(self) -> bool:
        """Whether an embedding model is trained."""
        return self.objective == "embed"

    @model_validator(mode="after")
    def _started(self) -> "Settings":
        if self.start is not None and not self.enabled:
            raise ValueError("start has no effect where enabled is false; remove it, or set align.start to the folder")
        return self

    @model_validator(mode="after")
    def _fits_objective(self) -> "Settings":
        owned = (
            ("classes", None, "classify"),
            ("class_weights", "none", "classify"),
            ("contrast", Contrast(), "embed"),
        )
        for key, unset, objective in owned:
            if self.objective != objective and getattr(self, key) != unset:
                raise ValueError(f"{key} has no effect without objective: {objective}; remove it, or set that")
        if self.objective == "rows":
            return self
        what = "a classifier" if self.classifies else "an embedding model"
        if not self.enabled:
            raise ValueError(f"objective: {self.objective} has no effect where enabled is false; set enabled to true")
        if self.start is not None:
            raise ValueError(f"{what} starts from the base, and start is an adapter that writes; remove start")
        if self.method not in HEADED:
            raise ValueError(f"{what} is tuned by one of {', '.join(HEADED)}, not by {self.method}; set method")
        if self.quantized:
            raise ValueError(f"{what} is not trained on a base in low bits; set quantization to null")
        if self.weights != "float32":
            raise ValueError(f"{what} is trained in float32; set weights to float32")
        if self.launch != Launch():
            raise ValueError(f"{what} was not shown to learn right in several processes; remove launch")
        if self.padding_free is True:
            raise ValueError(f"{what} reads rows that are filled up; set padding_free to auto")
        if self.order != "shuffled":
            raise ValueError(f"order is for rows whose answers are learned; set it to shuffled for {what}")
        if self.samples.prompts:
            raise ValueError(f"samples are answers, and {what} gives none; set samples.prompts to 0")
        if self.classes is not None:
            _check_classes(self.classes)
        return self


def _check_classes(classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise ValueError("classes needs two at least")
    if odd := [name for name in classes if name != " ".join(name.split()) or not name]:
        raise ValueError(f"classes lists {odd[0]!r}; a class has a name, without spaces around it or two in a row")
