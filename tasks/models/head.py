"""A model with a head that gives a number for each class, in the place of the head that gives the next token.

    head = Head(("negative", "positive"), tokenizer.pad_token_id)
    model = head.load(folder)  # the head is zero: before the first step each class is as likely

With a threshold a row has any number of classes: the sigmoid of each number is the probability of that class.

The number of a class is read at the last token that does not fill up a batch, so prompts are filled up on the right.

Shapes: `B` rows of a batch, `T` tokens of the longest prompt.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.models.adapter_files import TrainingRecord, training_record
from tasks.models.classes import (
    ONE_OF_MANY,
    SOME_OF_MANY,
    from_pretrained,
    is_classifier,
    model_config,
    tells_each_class,
)
from tasks.models.foreign import CONFIG, check_complete
from tasks.rows.label_lists import THRESHOLD

LAYER = "score"
"""The name of the head in transformers' models that continue a text."""


def check_family(config: Any, location: str) -> None:
    """Raise `ModelError` where transformers has no such head for a model with this configuration."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as KNOWN

    if config.model_type not in KNOWN:
        raise ModelError(
            f"{location}: transformers has no classification head for the model type {config.model_type!r}; choose "
            "another base, or set train.objective to rows."
        )
    if config.get_text_config() is not config:
        raise ModelError(
            f"{location}: a classifier needs a text-only model, but this one is multimodal; choose another base, or "
            "set train.objective to rows."
        )


def classes_in(folder: Path) -> list[str] | None:
    """The classes of the classifier, or of the adapter of one, in `folder`; None where it holds something else."""
    if (folder / "adapter_config.json").is_file():
        return training_record(folder).classes
    if not (folder / CONFIG).is_file():
        return None
    config = model_config(folder)
    return list(Head.of(config).classes) if is_classifier(config) else None


@dataclass(frozen=True)
class Head:
    """Classes in the order of their numbers, and the token that fills up batches."""

    classes: tuple[str, ...]
    pad: int
    threshold: float | None = None
    """Probability from which a class applies; None: a row has one class, the likeliest."""

    @classmethod
    def of(cls, config: Any) -> "Head":
        """The head of a classifier with this configuration."""
        classes = tuple(config.id2label[number] for number in range(config.num_labels))
        threshold = getattr(config, "label_threshold", THRESHOLD) if tells_each_class(config) else None
        return cls(classes, config.pad_token_id, threshold)

    @classmethod
    def recorded(cls, record: TrainingRecord, pad: int) -> "Head | None":
        """The head that a training made; None where it made none."""
        return cls(tuple(record.classes), pad, record.threshold) if record.classes else None

    def config(self, folder: Path) -> Any:
        """The configuration of the model in `folder` with this head. Raises `ModelError` where it cannot have one."""
        config = model_config(folder)
        check_family(config, str(folder))
        config.id2label = dict(enumerate(self.classes))
        config.label2id = {name: number for number, name in enumerate(self.classes)}
        config.problem_type = ONE_OF_MANY if self.threshold is None else SOME_OF_MANY
        if self.threshold is not None:
            config.label_threshold = self.threshold
        config.pad_token_id = self.pad
        return config

    def load(self, folder: Path, **options: Any) -> Any:
        """The base in `folder` with this head, which is zero; `options` as transformers has them."""
        import torch
        from transformers import AutoModelForSequenceClassification

        model, report = from_pretrained(
            folder,
            kind=AutoModelForSequenceClassification,
            config=self.config(folder),
            output_loading_info=True,
            **options,
        )
        check_complete(folder, sorted(name for name in report["missing_keys"] if not name.startswith(f"{LAYER}.")))
        with torch.no_grad():
            for weight in getattr(model, LAYER).parameters():
                weight.zero_()
        model.config.architectures = [type(model).__name__]
        return model


def filled(prompts: list[list[int]], pad: int) -> tuple[Any, Any]:
    """Token ids and mask (B, T), filled up on the right to the longest prompt: positions count from its first token."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for number, prompt in enumerate(prompts):
        ids[number, : len(prompt)] = torch.tensor(prompt, dtype=torch.long)
        mask[number, : len(prompt)] = 1
    return ids, mask
