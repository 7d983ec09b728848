"""What stages use of transformers that its documentation does not list: when an upgrade moves a name, mend it here.

Nothing of transformers is imported before a function is called.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Conversion:
    """Tensors of a model's files that become weights of the model together, by transformers' rule for its family."""

    first: str
    """Name of the weight, or of the first one."""
    parts: tuple[tuple[str, str], ...]
    """Names in the files, each behind the pattern of the rule that it matches, in the order of the rule."""
    rule: Any
    """None where the tensor is the weight as it is, at most under another name."""

    def convert(self, tensors: dict[str, Any], layout: Any) -> dict[str, Any]:
        """The weights that `tensors`, by their names in the files, become; see `conversions` for `layout`."""
        if self.rule is None:
            return {self.first: tensors[self.parts[0][1]]}
        rule = deepcopy(self.rule)
        for pattern, name in self.parts:
            rule.add_tensor(self.first, name, pattern, tensors.pop(name))
        converted = rule.convert(self.first, model=layout, config=layout.config)
        return {name: value[0] if isinstance(value, list) else value for name, value in converted.items()}


def conversions(model: Any, names: Iterable[str], layout: Any) -> list[Conversion]:
    """How the tensors called `names` become the weights of `model`, as its `from_pretrained` does it.

    `layout` stands for the model afterwards, whatever is put on it: it has `config` and `get_parameter`, and is told
    here which rules apply, so that `revert` knows them. Names that the model does not read are left out.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    by_pattern = {pattern: rule for rule in converters for pattern in rule.source_patterns}
    prefix, known = model.base_model_prefix, model.state_dict()
    parts: dict[str, list[tuple[str, str]]] = {}
    by_weight: dict[str, Any] = {}
    for name in sorted(names, key=dot_natural_key):
        weight, pattern = rename_source_key(name, renamings, converters, prefix, known)
        if weight not in known and name in known:
            weight, pattern = rename_source_key(name, [], [], prefix, known)
        if weight in known and (pattern is not None or weight not in parts):
            parts.setdefault(weight, []).append((pattern or name, name))
            by_weight[weight] = by_pattern.get(pattern)
    layout._weight_conversions = [rule for rule in rules if rule.was_used()]
    return [Conversion(weight, tuple(members), by_weight[weight]) for weight, members in parts.items()]


def revert(weights: dict[str, Any], layout: Any) -> dict[str, Any]:
    """What `weights`, by their names in the model, are in its files: the reverse of `Conversion.convert`."""
    from transformers.core_model_loading import revert_weight_conversion

    return dict(revert_weight_conversion(layout, weights))


def is_converted(model: Any) -> bool:
    """Whether weights of `model` are put together of several tensors of its files, or taken apart."""
    from transformers.core_model_loading import WeightConverter

    return any(isinstance(rule, WeightConverter) for rule in getattr(model, "_weight_conversions", None) or ())


def locate(model: Any, folder: Path) -> None:
    """Have a model say that it was loaded from `folder`."""
    model.config._name_or_path = model.name_or_path = str(folder)


def attention(model: Any) -> str:
    """By what `model` computes attention, such as sdpa."""
    while hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return str(model.config.get_text_config()._attn_implementation)


def choose_attention(model: Any, name: str) -> bool:
    """Have `model` compute attention by what transformers knows as `name`; False where its class exchanges none."""
    while hasattr(model, "get_base_model"):
        model = model.get_base_model()
    if not model._can_set_attn_implementation():
        return False
    model.set_attn_implementation(name)
    return attention(model) == name


class Ordered:
    """Before a `Trainer` among the bases: training rows come in the order of `sampler`."""

    def sampler(self) -> Any:
        """Indices of rows in the order of training; None for transformers' own."""
        return None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.sampler() or super()._get_train_sampler(train_dataset)  # type: ignore[misc]


@contextmanager
def experts_on_paper() -> Iterator[None]:
    """A context in which products of experts are made by an operator of transformers that tells shapes of any type.

    torch's own tells those of bfloat16 alone where tensors have no numbers. What both make is as large.
    """
    from transformers.integrations import moe

    chosen = moe._can_use_grouped_mm
    moe._can_use_grouped_mm = lambda *_: False
    try:
        yield
    finally:
        moe._can_use_grouped_mm = chosen


def on_device(trainer: Any, batch: Any) -> Any:
    """A batch on the device where `trainer` trains."""
    return trainer._prepare_inputs(batch)


def use_one_device(arguments: Any) -> None:
    """Have a trainer with these arguments compute on one card, or the processor, however many cards it sees.

    transformers would share a batch out among all cards (torch's DataParallel), and make it so many times as large.
    """
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
