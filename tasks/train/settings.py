"""Section `train` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.core.settings import Settings as Section
from tasks.core.settings import absent
from tasks.named.names import Name
from tasks.rows.label_lists import THRESHOLD
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
    """Train on rows. false: no training on rows; `align.start: base` makes the tuned model."""
    objective: Annotated[Literal["rows", "classify", "embed"], Field(exclude_if=_rows)] = "rows"
    """What is learned from the rows. rows: to write their answers. classify: to predict the class of a prompt, with the
    answers as classes, by a classification head instead of the language model head; the result cannot generate text,
    and is scored by evaluate's metric `classification`. embed: to give a question and its answer vectors that lie near
    each other, for search; it needs `template.embed`, and is scored by evaluate's metric `retrieval`."""
    classes: Annotated[tuple[str, ...] | None, Field(exclude_if=absent)] = None
    """For `objective: classify`: the classes in the order of the head. null: all answers of the training rows, sorted.
    """
    labels: Annotated[Literal["one", "several"], Field(exclude_if=lambda value: value == "one")] = "one"
    """For `objective: classify`: how many classes a row has. one: its answer is the class. several: its answer is a
    JSON list of any number of them, such as `["late", "broken"]`, or `[]` for none; each class is learned by itself,
    and evaluate's metric `multilabel` scores the result."""
    threshold: Annotated[float, Field(gt=0, lt=1, exclude_if=lambda value: value == THRESHOLD)] = THRESHOLD
    """For `labels: several`: the probability (0 to 1) from which a class applies. config.json of the model has it as
    `label_threshold`."""
    class_weights: Annotated[
        Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]],
        Field(exclude_if=lambda value: value == "none"),
    ] = "none"
    """For `objective: classify`: factor of the loss per class. none: 1 for each class. balanced: rows / (classes * rows
    of the class), so that each class weighs the same. Or your own factors, as CLASS: NUMBER; a class that is not listed
    has 1. With `labels: several` the factor is that of rows that have the class, and balanced is rows without it / rows
    with it."""
    contrast: Annotated[Contrast, Field(exclude_if=_plain)] = Contrast()
    """For `objective: embed`: the loss."""
    start: Annotated[Name | None, Field(exclude_if=absent)] = None
    """Folder in data/starts with an adapter of the same base, as saved by peft, to continue from; `method` and the
    adapter's settings must match it. null: a new adapter."""

    @property
    def off(self) -> bool:
        """Whether rows are not trained on."""
        return not self.enabled

    @property
    def classifies(self) -> bool:
        """Whether a classifier is trained."""
        return self.objective == "classify"

    @property
    def several(self) -> bool:
        """Whether rows have any number of classes."""
        return self.labels == "several"

    @property
    def embeds(self) -> bool:
        """Whether an embedding model is trained."""
        return self.objective == "embed"

    @model_validator(mode="after")
    def _started(self) -> "Settings":
        if self.start is not None and not self.enabled:
            raise ValueError("start has no effect if enabled is false; remove it, or set align.start to the folder")
        return self

    @model_validator(mode="after")
    def _fits_objective(self) -> "Settings":
        owned = (
            ("classes", None, "classify"),
            ("labels", "one", "classify"),
            ("threshold", THRESHOLD, "classify"),
            ("class_weights", "none", "classify"),
            ("contrast", Contrast(), "embed"),
        )
        for key, unset, objective in owned:
            if self.objective != objective and getattr(self, key) != unset:
                raise ValueError(f"{key} has no effect without objective: {objective}; remove it, or set that")
        if self.labels == "one" and self.threshold != THRESHOLD:
            raise ValueError("threshold has no effect without labels: several; remove it, or set that")
        if self.objective == "rows":
            return self
        what = "a classifier" if self.classifies else "an embedding model"
        if not self.enabled:
            raise ValueError(f"objective: {self.objective} has no effect if enabled is false; set enabled to true")
        if self.start is not None:
            raise ValueError(f"{what} starts from the base, but start is an adapter for text generation; remove start")
        if self.method not in HEADED:
            raise ValueError(f"{what} cannot be tuned by {self.method}; set method to one of {', '.join(HEADED)}")
        if self.quantized:
            raise ValueError(f"{what} cannot be trained on a quantised base; set quantization to null")
        if self.weights != "float32":
            raise ValueError(f"{what} is trained in float32; set weights to float32")
        if self.launch != Launch():
            raise ValueError(f"{what} is untested with several processes; remove launch")
        if self.padding_free is True:
            raise ValueError(f"{what} needs padded rows; set padding_free to auto")
        if self.order != "shuffled":
            raise ValueError(f"order is not supported for {what}; set it to shuffled")
        if self.samples.prompts:
            raise ValueError(f"{what} generates no answers; set samples.prompts to 0")
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
