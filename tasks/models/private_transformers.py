"""What stages use of transformers that its documentation does not list: when an upgrade moves a name, mend it here.

Nothing of transformers is imported before a function is called.
"""

from pathlib import Path
from typing import Any


def compile_template(template: str) -> Any:
    """The jinja template that transformers renders, in its sandbox. transformers keeps it, and its environment."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    return _compile_jinja_template(template)


def render_marked(
    template: str, conversation: list[Any], tools: list[Any] | None, **variables: Any
) -> tuple[str, list[tuple[int, int]]]:
    """The text of a conversation, and the spans of characters in it that `{% generation %}` encloses."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, spans = render_jinja_template(
        conversations=[conversation],
        tools=tools,
        chat_template=template,
        return_assistant_tokens_mask=True,
        **variables,
    )
    return texts[0], spans[0]


def with_one_name_for_reasoning(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with what a model thinks under each of the names that templates read."""
    from transformers.utils.chat_template_utils import _alias_reasoning_fields

    aliased: list[dict[str, Any]] = _alias_reasoning_fields(messages)
    return aliased


def gguf_tokenizer(file: Path) -> dict[str, Any]:
    """What a GGUF file says of its tokenizer, such as `tokens` and `tokenizer_type`."""
    from transformers.integrations.gguf import get_gguf_tokenizer

    _, described, _ = get_gguf_tokenizer(str(file))
    return dict(described)


def renames_weights(model: Any) -> bool:
    """Whether weights of `model` have other names than in its files: by its type, its class, or a part's."""
    from transformers.conversion_mapping import get_model_conversion_mapping

    return bool(get_model_conversion_mapping(model, add_legacy=False))


def locate(model: Any, folder: Path) -> None:
    """Have a model say that it was loaded from `folder`."""
    model.config._name_or_path = model.name_or_path = str(folder)


class Ordered:
    """Before a `Trainer` among the bases: training rows come in the order of `sampler`."""

    def sampler(self) -> Any:
        """Indices of rows in the order of training; None for transformers' own."""
        return None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.sampler() or super()._get_train_sampler(train_dataset)  # type: ignore[misc]


def on_device(trainer: Any, batch: Any) -> Any:
    """A batch on the device where `trainer` trains."""
    return trainer._prepare_inputs(batch)
