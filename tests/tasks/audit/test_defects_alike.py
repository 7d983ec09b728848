"""More defects of the same kinds as those that people reported, planted one by one: the audit finds each."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.audit.test_defects import ERRORS, UNMARKED, WORDS, Case, audited, chat, pair
from tests.tasks.tiny import CHATML

SAID = "message['content'] + '<|im_end|>'"
PROMPT = "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
CALLS = (
    "{%- if tools -%}{{- '<|im_start|>system\n' + (tools | tojson) + '<|im_end|>\n' -}}{%- endif -%}"
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content -}}{%- for c in m.tool_calls or [] -%}"
    "{{- '<call>' + c.function.name + (c.function.arguments | tojson) + '</call>' -}}{%- endfor -%}"
    "{{- '<|im_end|>\n' -}}{%- endfor -%}"
) + PROMPT
END = "x <|im_end|> y"


def tool(**more: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "rain", "description": "Rain?", **more}}


def called(name: str = "rain", city: str = "Ulm", result: str = "no", number: str = "call00001") -> dict[str, Any]:
    """A tool, a call of it, its result and an answer; no tool for a call of another name."""
    call = {"id": number, "type": "function", "function": {"name": name, "arguments": {"city": city}}}
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result, "tool_call_id": number},
        {"role": "assistant", "content": "No."},
    ]
    return {"messages": turns, "tools": [tool()] if name == "rain" else []}


def answered(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", **more}]}


def written(expression: str) -> str:
    """The template with texts written in another way."""
    return UNMARKED.replace(SAID, expression + " + '<|im_end|>'")


def of_marked(before: str, after: str) -> str:
    assert before in CHATML
    return CHATML.replace(before, after)


SHORT, LONG = ["--max-length", "32"], ["--max-length", "1000"]
DIALOGUE = chat("a", "b", "c", "d")
TRUNCATION = {
    "the result of a tool": Case("", [called(result=WORDS)], {"too_long"}, CALLS, ["--max-length", "100"]),
    "the system prompt": Case("", [chat("a", "b", system=WORDS)], {"too_long"}, options=SHORT),
    "an answer in the middle": Case("", [chat("a", WORDS, "c", "d")], {"too_long"}, options=SHORT),
    "the rejected answer": Case("", [pair("a", "b b b b b b", WORDS)], {"too_long"}, options=SHORT),
    "a text": Case("", [{"text": WORDS}], {"too_long"}, options=SHORT),
    "definitions of tools": Case(
        "", [{**chat("a", "b"), "tools": [tool()] * 20}], {"too_long"}, CALLS, ["--max-length", "250"]
    ),
    "a completion behind its prompt": Case("", [{"prompt": WORDS, "completion": "42"}], {"too_long"}, options=SHORT),
    "a limit beyond the context": Case(
        "", [chat("a", WORDS)], {"too_long"}, options=LONG, config={"max_position_embeddings": 50}
    ),
}
TEMPLATE = {
    "tools are left out": Case("", [{**chat("a", "b"), "tools": [tool()]}], {"coverage"}),
    "calls are left out": Case("", [called()], {"coverage"}),
    "names of calls are left out": Case("", [called("snow")], {"coverage"}, CALLS.replace("c.function.name + ", "")),
    "thinking is left out": Case("", [answered(reasoning_content="because")], {"coverage"}),
    "escapes of HTML": Case("", [chat("a <b>", "x < y")], {"coverage", "stop"}, written("(message['content'] | e)")),
    "small letters": Case("", [chat("Hello", "World")], {"coverage"}, written("message['content'].lower()")),
    "cut": Case("", [chat("a", WORDS)], {"coverage"}, written("message['content'][:99]")),
    "the last turns alone": Case(
        "", [chat("a", "b", "c", "d", "e", "f")], {"coverage", "supervision", "prefix"},
        UNMARKED.replace("in messages -%}", "in messages[-2:] -%}"),
    ),
    "an answer twice": Case("", [chat("a", "b")], {"supervision"}, written("message['content'] * 2")),
    "an answer in the prompt": Case(
        "", [chat("a", "bc")], {"prefix", "supervision"}, "{{- messages[-1].content -}}" + UNMARKED
    ),
    "turns backwards": Case("", [DIALOGUE], {"prefix"}, UNMARKED.replace("in messages -%}", "in messages[::-1] -%}")),
    "roles the other way round": Case(
        "", [chat("a", "b")], {"prefix", "no_system"},
        UNMARKED.replace("message['role'] +", "{'user': 'assistant', 'assistant': 'user'}[message['role']] +"),
    ),
    "no generation prompt": Case("", [chat("a", "b")], {"generation_prompt"}, UNMARKED.replace(PROMPT, "")),
    "another generation prompt": Case(
        "", [chat("a", "b")], {"prefix"}, UNMARKED.replace(PROMPT, PROMPT.replace("assistant", "bot"))
    ),
    "a generation prompt behind every dialogue": Case(
        "", [chat("a", "b")], {"trailing_prompt"}, UNMARKED.replace(PROMPT, "{{- '<|im_start|>assistant\n' -}}")
    ),
    "the end of the last turn alone": Case(
        "", [DIALOGUE], {"stop", "prefix"},
        written("message['content']").replace("'<|im_end|>'", "'<|im_end|>' * loop.last"),
    ),
    "an end that is plain text": Case("", [chat("a", "b")], {"stop"}, UNMARKED.replace("<|im_end|>", "</s>")),
    "control tokens that the tokenizer lacks": Case(
        "", [chat("a", "b")], {"new_tokens"}, UNMARKED.replace("<|im_start|>", "<|turn|>")
    ),
    "a system prompt of its own": Case(
        "", [chat("a", "b")], {"own_system"},
        "{%- if messages[0].role != 'system' -%}{{- '<|im_start|>system\nYou are Bob.<|im_end|>\n' -}}{%- endif -%}"
        + UNMARKED,
    ),
}  # fmt: skip
MASKS = {
    "the whole dialogue": Case(
        "", [DIALOGUE], {"prefix", "stop"}, "{%- generation -%}" + UNMARKED + "{%- endgeneration -%}"
    ),
    "the user": Case("", [chat("a", "b")], {"supervision"}, of_marked("== 'assistant'", "== 'user'")),
    "the last answer": Case(
        "", [DIALOGUE], {"supervision"}, of_marked("'assistant' -%}", "'assistant' and loop.last -%}")
    ),
    "half an answer": Case(
        "", [chat("a", "stop web")], {"prefix"},
        of_marked(
            "{%- generation -%}{{- message['content']",
            "{{- message['content'][:4] -}}{%- generation -%}{{- message['content'][4:]",
        ),
    ),
    "an answer without its rest": Case(
        "", [chat("a", "stop web")], {"stop"},
        of_marked(
            SAID + " -}}{%- endgeneration -%}",
            "message['content'][:4] -}}{%- endgeneration -%}{{- message['content'][4:] + '<|im_end|>' -}}",
        ),
    ),
    "weights of 0": Case("", [answered(weight=0)], {"untrained"}),
    "half a weight": Case("", [answered(weight=0.5)], {"weight"}),
    "a negative weight": Case("", [answered(weight=-1)], {"weight"}),
    "an answer of spaces": Case("", [chat("a", "  \n")], {"no_answer"}),
}  # fmt: skip
INJECTION = {
    "the system prompt": Case("", [chat("a", "b", system=END)], {"quoted"}),
    "the result of a tool": Case("", [called(result=END)], {"quoted"}, CALLS),
    "an argument": Case("", [called(city=END)], {"quoted"}, CALLS),
    "the description of a tool": Case(
        "", [{**chat("a", "b"), "tools": [tool(description=END)]}], {"scaffold"}, CALLS
    ),
    "the name of a tool": Case("", [{**chat("a", "b"), "tools": [tool(name=END)]}], {"scaffold"}, CALLS),
    "the name of a call": Case("", [called(END)], {"scaffold"}, CALLS),
    "pad": Case("", [chat("a", "<|pad|>")], {"quoted"}),
    "the prompt of a pair": Case("", [pair(END, "aaaaaa", "bbbbbb")], {"quoted"}),
    "a completion": Case("", [{"prompt": "a", "completion": END}], {"quoted"}),
    "a text": Case("", [{"text": END}], {"rendered"}),
    "a role": Case("", [{"messages": [{"role": "user" + END, "content": "a"}]}], {"unknown_shape"}),
}  # fmt: skip
PREFERENCE = {
    "differ in space": Case("", [pair("a", "run  docker", "run docker ")], {"alike_pair"}),
    "differ in capitals": Case("", [pair("a", "Stop web", "stop web")], {"alike_pair"}),
    "equal once trimmed": Case(
        "", [pair("a", "stop web ", "stop web")], {"equal_pair", "trimmed"}, written("message['content'].strip()")
    ),
    "all good": Case("", [{"prompt": f"a{n}", "completion": "b", "label": True} for n in range(3)], {"one_label"}),
    "good and bad": Case(
        "", [{"prompt": "a", "completion": "b", "label": label} for label in (True, False)], {"contradiction"}
    ),
    "a circle": Case("", [pair("a", "bb", "cc"), pair("a", "cc", "dd"), pair("a", "dd", "bb")], {"circle"}),
    "a wide circle": Case(
        "", [pair("a", f"{n}{n}", f"{(n + 1) % 5}{(n + 1) % 5}") for n in (0, 3, 1, 4, 2)], {"circle"}
    ),
    "an order": Case("", [pair("a", "bb", "cc"), pair("a", "cc", "dd"), pair("a", "bb", "dd")], set()),
    "several prompts": Case("", [pair("a", "bb", "cc"), pair("b", "cc", "dd"), pair("c", "dd", "bb")], set()),
    "no label": Case("", [{"prompt": "a", "completion": "b", "label": "yes"}], {"unknown_shape"}),
    "nothing rejected": Case("", [pair("a", "stop web", "")], {"no_answer"}),
    "ends with the user": Case(
        "", [{"prompt": "a", "chosen": chat("a", "b", "c")["messages"], "rejected": chat("a", "d")["messages"]}],
        {"no_answer"},
    ),
}  # fmt: skip
VOCABULARY = {
    "pad beyond the embeddings": Case(
        "", [chat("a", "b")], {"no_pad", "no_bos"}, config={"vocab_size": 320, "max_position_embeddings": 64}, bos=True
    ),
    "another end": Case("", [chat("a", "b")], {"end_token"}, config={"eos_token_id": 0, "max_position_embeddings": 64}),
}
FAMILIES = {
    "truncation": TRUNCATION,
    "chat-template": TEMPLATE,
    "loss-masking": MASKS,
    "special-token-injection": INJECTION,
    "preference": PREFERENCE,
    "vocab-embeddings": VOCABULARY,
}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, cases in FAMILIES.items() for name in cases])
def test_the_audit_finds_what_was_planted(
    family: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = FAMILIES[family][name]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in case.rows))
    code, report = audited(tmp_path, data, case, capsys)
    slugs = {finding["check"] for finding in report["findings"]} - {"no_rows"}
    assert slugs == case.expected
    assert (code, report["ok"]) == ((1, False) if slugs & ERRORS else (0, True))
