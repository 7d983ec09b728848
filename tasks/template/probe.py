"""What a question and an answer tell about a template and its tokenizer, before the first row."""

import re
from contextlib import suppress

from tasks.chat.renderer import TODAY, TOOL, TRIAL, Unrenderable
from tasks.template.draft import Draft, Drafter
from tasks.template.encode import Encoder

_LIKE = re.compile(r"<\|[^|<>\s]{1,40}\|>")
"""What looks like a control token."""


def settle(encoder: Encoder, drafter: Drafter, stops: set[int], vocabulary: int | None) -> dict[str, str]:
    """Make right what can be, in the tokenizer and in `stops`; returns what was made right, or is odd, by slug.

    The token that ends turns becomes the tokenizer's end token where generation would not have stopped at it.
    `vocabulary`: rows of the base's embeddings.
    """
    told = {}
    tokenizer, renderer = encoder.tokenizer, drafter.renderer
    probe = _probe(drafter)
    lacking = set(_LIKE.findall(probe.text if probe else "")) - tokenizer.get_vocab().keys()
    if lacking:
        names = ", ".join(sorted(lacking))
        told["new_tokens"] = f"the chat template writes {names}, plain text to the tokenizer (template.new_tokens)"
    if probe and probe.turns and not probe.problems["stop"]:
        last = encoder.encode([probe.text[: probe.turns[-1][1]]])[0].ids[-1]
        if last not in stops:
            before, tokenizer.eos_token = tokenizer.eos_token, tokenizer.convert_ids_to_tokens(last)
            stops.add(last)
            told["end_token"] = f"turns end with {tokenizer.eos_token}, generation at {before}: it is the end token now"
    pad, end = tokenizer.pad_token, tokenizer.eos_token
    if vocabulary is not None and tokenizer.pad_token_id >= vocabulary:
        tokenizer.pad_token = end
        told["no_pad"] = f"the pad token {pad} has no row in the base's embeddings: {end} fills up batches"
    elif pad == end:
        told["no_pad"] = f"{end} ends turns and fills up batches, masked by position: collators that mask it mask ends"
    if not renderer.takes_system:
        told["no_system"] = "the chat template refuses system prompts: each goes to the head of the first user turn"
    if renderer.own_system:
        told["own_system"] = (
            f"a dialogue without a system prompt gets one by the chat template: {renderer.own_system[:120]}"
        )
    if renderer.always_prompts:
        told["trailing_prompt"] = "the chat template ends a finished dialogue with a generation prompt too"
    if renderer.dated:
        told["dated"] = f"the chat template writes today's date: it is always {TODAY:%Y-%m-%d}"
    return told


def _probe(drafter: Drafter) -> Draft | None:
    """A question and an answer, with a tool where the template needs one; None where it renders nothing."""
    for tools in (None, [TOOL]):
        with suppress(Unrenderable):
            return drafter.draft(TRIAL, tools)
    return None
