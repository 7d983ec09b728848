"""Reasoning and answer are told apart by the template's own markers."""

from pathlib import Path
from typing import Any

import pytest

from tasks.chat.reasoning import ReasoningReader, Split, reasoning_kept
from tasks.chat.renderer import Renderer
from tests.tasks import tiny

PUBLIC = Path(__file__).parents[4] / "shared" / "data" / "chat-templates"
public = pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public templates are not at hand")

BEFORE = "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}{%- if m.reasoning_content -%}"
AFTER = "{%- endif -%}{{- m.content + '<|im_end|>\\n' -}}{%- endfor -%}{%- if add_generation_prompt -%}"
OWN = BEFORE + "{{- '((' + m.reasoning_content + '))' -}}" + AFTER + "{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
"""A template with markers that nobody else has."""


def coder(template: str) -> Any:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def public_coder(name: str) -> Any:
    return coder((PUBLIC / f"{name}.jinja").read_text())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", Split("", "4")),
        ("  4 ", Split("", "  4 ")),
        ("<think>two and two</think>4", Split("two and two", "4")),
        ("<think>\n\n</think>\n\n    return 4", Split("", "    return 4")),
        ("two and two</think>\n\n4", Split("two and two", "4")),
        ("<think>two and", Split("two and", "", ended=False)),
        ("<think>a</think><think>b</think>4", Split("a\n\nb", "4")),
        ("Write <think> and </think>.", Split("", "Write <think> and </think>.")),
        ("<think>a</think>Write </think>.", Split("a", "Write </think>.")),
        ("two and two</think>4", Split("two and two", "4")),
        ("Write `</think>` there.", Split("", "Write `</think>` there.")),
        ("Write </think> there.", Split("", "Write </think> there.")),
        ("[THINK]a[/THINK]4", Split("a", "4")),
        ("<|channel>thought\na\n<channel|>4", Split("a", "4")),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|>"
            "<|start|>assistant<|channel|>final<|message|>4",
            Split("a\n\nb", "4"),
        ),
        ("<|channel|>final<|message|>4", Split("", "4")),
        ("The end.<|end|>", Split("", "The end.<|end|>")),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>4", Split("a", "4")),
    ],
)
def test_reasoning_stands_at_the_head_between_its_markers(text: str, expected: Split) -> None:
    assert ReasoningReader().split(text) == expected


def test_a_prompt_may_have_opened_the_reasoning() -> None:
    reader = ReasoningReader()
    opened = reader.opened_by("<|im_start|>assistant\n<think>\n")
    assert opened and reader.opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n") is None
    assert reader.split("two</think>\n\n4", opened) == Split("two", "4")
    assert reader.split("<think>two</think>4", opened) == Split("two", "4")
    assert reader.split("two and two", opened) == Split("two and two", "", ended=False)


def test_a_template_shows_its_own_markers() -> None:
    reader = ReasoningReader.of(coder(OWN))
    assert reader.split("((two))4") == Split("two", "4")
    assert reader.split("<think>two</think>4") == Split("two", "4")
    assert reader.split("[THINK]two[/THINK]4").answer == "[THINK]two[/THINK]4"  # to this template a text as any other
    assert reader.split("4 (or so))") == Split("", "4 (or so))")


def test_reasoning_of_a_message_stands_in_a_field_or_in_its_content() -> None:
    reader = ReasoningReader()
    for name in ("reasoning_content", "reasoning", "thinking"):
        assert reader.of_message({"content": "4", name: " two\n"}) == Split("two", "4")
    assert reader.of_message({"content": "<think>two</think>4"}) == Split("two", "4")
    assert reader.of_message({"content": "<think>two</think>4", "reasoning_content": "two"}) == Split("two", "4")
    assert reader.of_message({"content": None, "reasoning_content": None}) == Split("", "")


@public
@pytest.mark.parametrize(
    ("name", "turn", "kept"),
    [
        ("trl/qwen3", "<think>\ntwo\n</think>\n\n4", "last turn"),
        ("trl/qwen3_training", "<think>\ntwo\n</think>\n\n4", "every turn"),
        ("trl/qwen3_5_think", "two\n</think>\n\n4", "last turn"),
        ("trl/nemotron_3_nano", "two\n</think>\n4", "last turn"),
        ("trl/gptoss", "<|channel|>analysis<|message|>two<|end|><|start|>assistant<|channel|>final<|message|>4", None),
        ("trl/diffusion_gemma", "<|channel>thought\ntwo\n<channel|>4", "last turn"),
        ("mistral-common/v15_think", "[THINK]two[/THINK]4", "every turn"),
        ("mistral-common/v11_think", "<think>\ntwo\n</think>\n4", "every turn"),
        ("llama.cpp/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "two\n</think>\n\n4", "nowhere"),
        ("llama.cpp/NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "<think>two</think>4", "content"),
        ("trl/qwen2_5", "4", "content"),
    ],
)
def test_public_templates(name: str, turn: str, kept: str | None) -> None:
    tokenizer = public_coder(name)
    reader = ReasoningReader.of(tokenizer)
    assert reader.split(turn) == Split("" if turn == "4" else "two", "4")
    assert reasoning_kept(Renderer(tokenizer)) == (kept or "last turn")
