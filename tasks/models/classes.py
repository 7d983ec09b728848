"""Which class of transformers a base is loaded with, so that all of it is there: its vision tower too, if it has one.

A model of text and images tuned on text keeps the rest as it is: loaded as a model of text alone it would be saved
without, under other names.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.models.foreign import CONFIG, foreign

ONE_OF_MANY, SOME_OF_MANY = "single_label_classification", "multi_label_classification"
"""What transformers calls rows of one class each, and of any number; the marks by which a classifier is told from a
reward model."""


def is_classifier(config: Any) -> bool:
    """Whether a model with this configuration, or that of a GGUF file, gives a number for each class, no next token."""
    architecture = next(iter(getattr(config, "architectures", None) or ()), "")
    return architecture.endswith("ForSequenceClassification") and config.problem_type in (ONE_OF_MANY, SOME_OF_MANY)


def tells_each_class(config: Any) -> bool:
    """Whether a model with this configuration is a classifier that says of each class by itself whether it applies."""
    return is_classifier(config) and config.problem_type == SOME_OF_MANY


def is_headless(config: Any) -> bool:
    """Whether a model with this configuration gives a vector for each token, and nothing made of it."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES as HEADLESS

    architecture = next(iter(getattr(config, "architectures", None) or ()), "")
    names = HEADLESS.get(getattr(config, "model_type", None), ())
    return architecture in ((names,) if isinstance(names, str) else names)


def auto_class(config: Any) -> Any:
    """transformers' Auto class for a model with this configuration: of text, or of text and images; or a classifier,
    or a model without a head."""
    from transformers import (
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoModelForSequenceClassification,
    )
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as OF_TEXT
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as OF_IMAGES

    if is_classifier(config):
        return AutoModelForSequenceClassification
    if is_headless(config):
        return AutoModel
    multimodal = config.get_text_config() is not config or config.model_type not in OF_TEXT
    return AutoModelForImageTextToText if multimodal and config.model_type in OF_IMAGES else AutoModelForCausalLM


def model_config(folder: Path) -> Any:
    """transformers' configuration of the model in `folder`. Raises `ModelError` where config.json is none."""
    from transformers import AutoConfig

    with foreign(folder / CONFIG, "restore the files of the model"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def from_pretrained(folder: Path, *, kind: Any = None, **options: Any) -> Any:
    """The model in `folder`, from safetensors alone and with no code of its own; `options` as transformers has them.

    `kind`: the Auto class that loads it; None: the one that its configuration asks for. Raises `ModelError` where its
    files are not what they say.
    """
    config = model_config(folder)
    with foreign(folder / CONFIG, "restore the files of the model"):
        kind = kind or auto_class(config)
        return kind.from_pretrained(folder, trust_remote_code=False, use_safetensors=True, **options)


@contextmanager
def unreported() -> Iterator[None]:
    """Without transformers' table of weights that a folder lacks or has beside: who loads it goes by the report."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def beside_text(model: Any) -> list[str]:
    """Paths of the outermost modules that have nothing to do with text, such as a vision tower; none in most models."""
    if model.config.get_text_config() is model.config:
        return []
    text = [model.get_decoder(), model.get_output_embeddings()]
    kept = {id(inner) for part in text if part is not None for inner in part.modules()}
    paths: list[str] = []
    for path, module in model.named_modules():
        below = not path or any(path.startswith(f"{above}.") for above in paths)
        if not below and not any(id(inner) in kept for inner in module.modules()):
            paths.append(path)
    return paths
