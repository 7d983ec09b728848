"""What a question and an answer tell about a template and its tokenizer, before the first row."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tasks.chat.renderer import PROBE_CALL, PROBE_DIALOGUE, PROBE_TOOL, TODAY, Renderer, Unrenderable
from tasks.rows.canonical import Message
from tasks.template.dialogue import DialogueRenderer, RenderedDialogue
from tasks.template.encode import Encoder

_LIKE = re.compile(r"<\|[^|<>\s]{1,40}\|>")
"""What looks like a control token."""


def reconcile(
    encoder: Encoder, dialogue_renderer: DialogueRenderer, stops: set[int], vocabulary: int | None
) -> dict[str, str]:
    """Make right what can be, in the tokenizer and in `stops`; returns what was made right, or is odd, by slug.

    The token that ends answers becomes the tokenizer's end token where generation would not have stopped at it; one
    that ends calls of tools becomes a further stop. `vocabulary`: rows of the base's embeddings.
    """
    notes = {}
    tokenizer, renderer = encoder.tokenizer, dialogue_renderer.renderer
    probe = next(_probes(dialogue_renderer, PROBE_DIALOGUE), None)
    lacking = set(_LIKE.findall(probe.text if probe else "")) - tokenizer.get_vocab().keys()
    if lacking:
        names = ", ".join(sorted(lacking))
        notes["new_tokens"] = (
            f"the chat template writes {names}, which the tokenizer reads as plain text (template.new_tokens)"
        )
    tokens = frozenset(tokenizer.convert_ids_to_tokens(sorted(stops)))
    if probe and (last := _end(encoder, probe, tokens, alone=not renderer.always_prompts)) and last not in tokens:
        before, tokenizer.eos_token = tokenizer.eos_token, last
        notes["end_token"] = (
            f"turns end with {last}, but generation stopped at {before}: temper made {last} the end token"
        )
        tokens |= {last}
        dialogue_renderer.stop_at(tokens)
    inner = _inner(encoder, dialogue_renderer)
    for messages in (PROBE_CALL[:2], PROBE_CALL):
        for called in _probes(dialogue_renderer, messages, [PROBE_TOOL]):
            last = _end(encoder, called, tokens, alone=len(messages) == 2 and not renderer.always_prompts)
            if last and last not in inner:
                tokens |= {last}
    dialogue_renderer.stop_at(tokens)
    stops |= {encoder.controls[token] for token in tokens if token in encoder.controls}
    pad, end = tokenizer.pad_token, tokenizer.eos_token
    if vocabulary is not None and tokenizer.pad_token_id >= vocabulary:
        tokenizer.pad_token = end
        notes["no_pad"] = f"the pad token {pad} has no row in the base's embeddings: temper pads batches with {end}"
    elif pad == end:
        notes["no_pad"] = (
            f"{end} is both end token and padding: temper masks padding by position, other trainers by id, and then "
            "the end tokens too"
        )
    if not renderer.takes_system:
        notes["no_system"] = (
            "the chat template rejects system prompts: temper puts them at the start of the first user message"
        )
    if renderer.default_system:
        notes["own_system"] = (
            f"the chat template adds a system prompt to dialogues without one: {renderer.default_system[:120]}"
        )
    if renderer.always_prompts:
        notes["trailing_prompt"] = "the chat template also adds a generation prompt to a finished dialogue"
    if renderer.writes_date:
        notes["dated"] = f"the chat template writes today's date: temper always sets it to {TODAY:%Y-%m-%d}"
    return notes


def _probes(
    dialogue_renderer: DialogueRenderer, messages: list[Message], *choices: list[Any] | None
) -> Iterator[RenderedDialogue]:
    """A dialogue with its answers trained; with a tool where the template needs one. Nothing where it refuses both."""
    for tools in choices or (None, [PROBE_TOOL]):
        with suppress(Unrenderable):
            yield dialogue_renderer.render(messages, tools, 1)
            return


def _end(encoder: Encoder, dialogue: RenderedDialogue, stops: frozenset[str], *, alone: bool = False) -> str | None:
    """The control token that ends the first trained turn; None where none does.

    Of several at the end of the text the last one, unless generation stops at the first already. `alone`: no other turn
    follows it, nor the head of one.
    """
    if not dialogue.turns:
        return None
    start, end = dialogue.turns[0]
    controls = list(encoder.pattern.finditer(dialogue.text, start, end))
    if not controls or controls[-1].end() != end:
        return None
    last = controls[-1].group()
    run = list(encoder.pattern.finditer(dialogue.text, end))
    adjacent = dialogue.text[end:].rstrip() == "".join(control.group() for control in run)
    return run[-1].group() if alone and run and adjacent and last not in stops else last


def _inner(encoder: Encoder, dialogue_renderer: DialogueRenderer) -> set[str]:
    """Control tokens that a turn goes on behind, and those of its head: at none of them generation may stop."""
    question, answer = PROBE_DIALOGUE
    calls = [call | {"id": f"callq000{number}"} for number, call in enumerate(PROBE_CALL[1]["tool_calls"] * 2)]
    turns: list[Message] = [
        answer,
        {**answer, "reasoning_content": "tq"},
        {**PROBE_CALL[1], "tool_calls": calls},
        {**PROBE_CALL[1], "tool_calls": calls, "reasoning_content": "tq"},
    ]
    inner = set(encoder.pattern.findall(_head(dialogue_renderer.renderer)))
    for turn in turns:
        for probe in _probes(dialogue_renderer, [question, turn], *([[PROBE_TOOL]] if "tool_calls" in turn else [])):
            for start, end in probe.turns:
                inner.update(encoder.pattern.findall(probe.text[start:end])[:-1])
    return inner


def _head(renderer: Renderer) -> str:
    """What a generation prompt adds: the head of the assistant's turn."""
    for tools in (None, [PROBE_TOOL]):
        with suppress(Unrenderable):
            asked = renderer.render(PROBE_DIALOGUE[:1], tools)
            return renderer.render(PROBE_DIALOGUE[:1], tools, generation_prompt=True).removeprefix(asked)
    return ""
