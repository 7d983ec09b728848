"""What a question and an answer tell about a template and its tokenizer, before the first row."""

import re
from contextlib import suppress

from tasks.chat.renderer import PROBE_DIALOGUE, PROBE_TOOL, TODAY, Unrenderable
from tasks.template.dialogue import DialogueRenderer, RenderedDialogue
from tasks.template.encode import Encoder

_LIKE = re.compile(r"<\|[^|<>\s]{1,40}\|>")
"""What looks like a control token."""


def reconcile(
    encoder: Encoder, dialogue_renderer: DialogueRenderer, stops: set[int], vocabulary: int | None
) -> dict[str, str]:
    """Make right what can be, in the tokenizer and in `stops`; returns what was made right, or is odd, by slug.

    The token that ends turns becomes the tokenizer's end token where generation would not have stopped at it.
    `vocabulary`: rows of the base's embeddings.
    """
    notes = {}
    tokenizer, renderer = encoder.tokenizer, dialogue_renderer.renderer
    probe = _probe(dialogue_renderer)
    lacking = set(_LIKE.findall(probe.text if probe else "")) - tokenizer.get_vocab().keys()
    if lacking:
        names = ", ".join(sorted(lacking))
        notes["new_tokens"] = f"the chat template writes {names}, plain text to the tokenizer (template.new_tokens)"
    if probe and probe.turns and not probe.problems["stop"]:
        last = encoder.encode([probe.text[: probe.turns[-1][1]]])[0].ids[-1]
        if last not in stops:
            before, tokenizer.eos_token = tokenizer.eos_token, tokenizer.convert_ids_to_tokens(last)
            stops.add(last)
            notes["end_token"] = (
                f"turns end with {tokenizer.eos_token}, generation at {before}: it is the end token now"
            )
    pad, end = tokenizer.pad_token, tokenizer.eos_token
    if vocabulary is not None and tokenizer.pad_token_id >= vocabulary:
        tokenizer.pad_token = end
        notes["no_pad"] = f"the pad token {pad} has no row in the base's embeddings: {end} fills up batches"
    elif pad == end:
        notes["no_pad"] = f"{end} ends turns and fills up batches, masked by position: collators that mask it mask ends"
    if not renderer.takes_system:
        notes["no_system"] = "the chat template refuses system prompts: each goes to the head of the first user turn"
    if renderer.default_system:
        notes["own_system"] = (
            f"a dialogue without a system prompt gets one by the chat template: {renderer.default_system[:120]}"
        )
    if renderer.always_prompts:
        notes["trailing_prompt"] = "the chat template ends a finished dialogue with a generation prompt too"
    if renderer.writes_date:
        notes["dated"] = f"the chat template writes today's date: it is always {TODAY:%Y-%m-%d}"
    return notes


def _probe(dialogue_renderer: DialogueRenderer) -> RenderedDialogue | None:
    """A question and an answer, with a tool where the template needs one; None where it renders nothing."""
    for tools in (None, [PROBE_TOOL]):
        with suppress(Unrenderable):
            return dialogue_renderer.render(PROBE_DIALOGUE, tools)
    return None
