"""The template's real end token, and every other token with which it ends a turn, are where generation stops."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.template import stage as template
from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tests.tasks import tiny
from tests.tasks.chat.test_reasoning import PUBLIC, public
from tests.tasks.template.test_template import row, trained

CALLING = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + m.content -}}{%- for c in m.tool_calls or [] -%}"
    "{{- '<|tool|>' + c.function.name + (c.function.arguments | tojson) + '<|/tool|>' -}}{%- endfor -%}"
    "{{- ('<|eom_id|>' if m.tool_calls else '<|im_end|>') + '\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
CONTROLS = ["<|im_start|>", "<|tool|>", "<|/tool|>", "<|eom_id|>", "<|turn_end|>"]
QUESTION: dict[str, Any] = {"role": "user", "content": "rain?"}
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}],
}
RESULT: dict[str, Any] = {"role": "tool", "content": "no", "name": "weather"}
ANSWER = {"role": "assistant", "content": "No."}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}


def templater(text: str, controls: list[str], eos: str = "<|im_end|>", **settings: Any) -> Templater:
    coder = tiny.tokenizer()
    coder.add_special_tokens({"additional_special_tokens": controls})
    coder.eos_token = eos
    coder.chat_template = text
    return Templater(coder, Settings(**settings), {coder.eos_token_id}, 10_000, None)


def stops(built: Templater) -> set[str]:
    built.reconcile()
    return set(built.encoder.tokenizer.convert_ids_to_tokens(sorted(built.stops)))


@pytest.mark.parametrize("train_on", ["assistant", "last", "completion", "all"])
def test_the_end_token_is_the_templates_whatever_is_trained(train_on: str) -> None:
    built = templater(tiny.CHATML, CONTROLS, eos="<|pad|>", train_on=train_on)
    notes = built.reconcile()
    assert built.encoder.tokenizer.eos_token == "<|im_end|>"
    assert notes["end_token"] == (
        "turns end with <|im_end|>, but generation stopped at <|pad|>: temper made <|im_end|> the end token"
    )
    untouched = templater(tiny.CHATML, CONTROLS, train_on=train_on)
    assert "end_token" not in untouched.reconcile() and untouched.encoder.tokenizer.eos_token == "<|im_end|>"


def test_of_several_tokens_at_the_end_the_last_is_the_end() -> None:
    text = tiny.CHATML.replace("'<|im_end|>'", "'<|/tool|><|turn_end|>'")
    assert stops(templater(text, CONTROLS, eos="<|pad|>")) == {"<|pad|>", "<|turn_end|>"}


def test_a_call_may_end_in_a_token_of_its_own() -> None:
    built = templater(CALLING, CONTROLS)
    assert stops(built) == {"<|im_end|>", "<|eom_id|>"}
    assert built.encoder.tokenizer.eos_token == "<|im_end|>"
    (outcome,) = built.outcomes([row([QUESTION, CALL, RESULT, ANSWER], tools=json.dumps([TOOL]))])
    assert outcome.reason is None
    assert trained(built.encoder.tokenizer, outcome) == [
        '<|tool|>weather{"city": "Ulm"}<|/tool|><|eom_id|>',
        "No.<|im_end|>",
    ]


def test_no_turn_stops_at_a_token_that_it_goes_on_behind() -> None:
    """Nothing but the end of one of several calls, behind which another may follow."""
    assert stops(templater(CALLING.replace("'<|eom_id|>'", "''"), CONTROLS)) == {"<|im_end|>"}


def test_the_stage_writes_them_beside_the_tokenizer(tmp_path: Path) -> None:
    coder = tiny.tokenizer()
    coder.add_special_tokens({"additional_special_tokens": CONTROLS})
    coder.chat_template = CALLING
    paths = tiny.project(tmp_path, method="none")
    base = tiny.model(paths.base / "model", vocabulary=len(coder))
    coder.save_pretrained(base)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    tiny.record(paths, base, "trained", "model")
    template.run(Settings(), paths)
    eom = coder.convert_tokens_to_ids("<|eom_id|>")
    assert tiny.read(paths.tokenizer / "generation_config.json") == {"eos_token_id": [2, 7, eom]}
    named = tiny.read(paths.audit)["tokenizer"]["stops"]
    assert named[0] == "<|im_end|>" and "<|eom_id|>" in named


@public
@pytest.mark.parametrize(
    ("name", "eos", "controls", "expected"),
    [
        ("trl/gptoss", "<|return|>", ["<|call|>", "<|end|>", "<|channel|>", "<|message|>", "<|start|>"], ["<|call|>"]),
        ("trl/glm4moe", "<|im_end|>", ["<|user|>", "<|assistant|>", "<|observation|>"], ["<|observation|>"]),
        (
            "trl/diffusion_gemma",
            "<turn|>",
            ["<|turn>", '<|"|>', "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>"],
            ["<|tool_response>"],
        ),
        ("trl/qwen3", "<|im_end|>", ["<tool_call>", "</tool_call>"], []),
        ("llama.cpp/meta-llama-Llama-3.1-8B-Instruct", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>"], []),
    ],
)
def test_public_templates(name: str, eos: str, controls: list[str], expected: list[str]) -> None:
    text = (PUBLIC / f"{name}.jinja").read_text()
    assert stops(templater(text, [eos, *controls], eos)) == {eos, *expected}


GEMMA = ["<turn|>", "<|turn>", '<|"|>', "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>"]
GEMMA += ["<|tool>", "<tool|>"]


@public
def test_quotes_of_the_template_in_arguments_are_its_control_tokens() -> None:
    text = (PUBLIC / "trl" / "diffusion_gemma.jinja").read_text()
    built = templater(text, GEMMA, "<turn|>")
    built.reconcile()
    coder = built.encoder.tokenizer
    messages = [QUESTION, CALL, {**RESULT, "content": "say no"}, ANSWER]
    (outcome,) = built.outcomes([row(messages, tools=json.dumps([TOOL]))])
    assert outcome.reason is None and not outcome.notes
    (part,) = outcome.sequences
    assert part.ids == coder(coder.decode(part.ids), add_special_tokens=False)["input_ids"]
    call = '<|tool_call>call:weather{city:<|"|>Ulm<|"|>}<tool_call|><|tool_response>'
    assert trained(coder, outcome)[0] == call


@public
def test_a_quote_that_a_value_brings_stays_text() -> None:
    text = (PUBLIC / "trl" / "diffusion_gemma.jinja").read_text()
    built = templater(text, GEMMA, "<turn|>")
    built.reconcile()
    quote = built.encoder.controls['<|"|>']
    counts = []
    for city in ("Ulm", 'say <|"|> loud'):
        function = {"name": "weather", "arguments": json.dumps({"city": city})}
        call = {**CALL, "tool_calls": [{"type": "function", "function": function}]}
        (outcome,) = built.outcomes([row([QUESTION, call, RESULT, ANSWER], tools=json.dumps([TOOL]))])
        assert outcome.reason is None
        (part,) = outcome.sequences
        counts.append((part.ids.count(quote), outcome.notes["quoted"]))
    assert counts[0] == (counts[1][0], 0) and counts[1][1] == 1
