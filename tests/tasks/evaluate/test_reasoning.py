"""A generated answer and its reference are compared in the same form: without what was thought, or that alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.evaluate.questions import Question, answer_room, continuation_ids
from tasks.evaluate.settings import Metric
from tests.tasks import tiny
from tests.tasks.chat.test_reasoning import OWN, public, public_coder

torch = pytest.importorskip("torch")

QWEN = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}{%- if m.role == 'assistant' -%}"
    "{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' -}}{%- endif -%}"
    "{{- m.content + '<|im_end|>\\n' -}}{%- endfor -%}{%- if add_generation_prompt -%}"
    "{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""As Qwen3's: each last answer has reasoning, an empty one where there is none."""

OPENED = QWEN.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant\\n<think>\\n'")


def coder(template: str) -> Any:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    return tokenizer


class Scripted:
    """A model that says what it is told to say."""

    def __init__(self, tokenizer: Any, *says: str) -> None:
        self._ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in says]
        self.config = SimpleNamespace(vocab_size=400)
        self.generation_config = SimpleNamespace(eos_token_id=[tokenizer.eos_token_id])
        self.device = "cpu"

    def forward(self, input_ids: Any) -> None: ...

    def generate(self, ids: Any, **limits: Any) -> Any:
        longest = max(map(len, self._ids))
        rows = [written + [0] * (longest - len(written)) for written in self._ids]
        return torch.cat([ids, torch.tensor(rows)], 1)


def answers(tokenizer: Any, scratch: Path, *says: str, stops: tuple[str, ...] = ()) -> list[Any]:
    from tasks.evaluate.answer_store import AnswerStore
    from tasks.evaluate.engine import Engine

    model = Scripted(tokenizer, *says)
    store = AnswerStore(scratch, "a" * 32)
    engine = Engine(model, tokenizer, context=512, batch_size=8, batch_tokens=65536, store=store)
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "2+2?"}], add_generation_prompt=True)
    return engine.answers([list(prompt["input_ids"])] * len(says), 64, lambda done: None, stops)


@pytest.mark.parametrize(
    ("template", "written", "answer", "reasoning", "ended"),
    [
        (QWEN, "<think>\n\n</think>\n\n4<|im_end|>", "4", "", True),
        (QWEN, "<think>\ntwo\n</think>\n\n4<|im_end|>", "4", "two", True),
        (QWEN, "4<|im_end|>", "4", "", True),
        (OPENED, "two\n</think>\n\n4<|im_end|>", "4", "two", True),
        (OPENED, "two and two", "", "two and two", False),
        (OWN, "((two))4<|im_end|>", "4", "two", True),
        (tiny.CHATML, "<think>two</think> 4<|im_end|>", "4", "two", True),
        (tiny.CHATML, " 4 <|im_end|>", " 4 ", "", True),
    ],
)
def test_an_answer_is_what_follows_the_reasoning(
    template: str, written: str, answer: str, reasoning: str, ended: bool, tmp_path: Path
) -> None:
    (got,) = answers(coder(template), tmp_path, written)
    assert (got.text, got.reasoning, got.ended) == (answer, reasoning, ended)
    assert got.finish == ("stop" if "<|im_end|>" in written else "length")


@public
@pytest.mark.parametrize(
    ("name", "controls", "written"),
    [
        (
            "trl/gptoss",
            ["<|channel|>", "<|message|>", "<|end|>", "<|start|>"],
            "<|channel|>analysis<|message|>two<|end|><|start|>assistant<|channel|>final<|message|>4<|im_end|>",
        ),
        ("trl/diffusion_gemma", ["<|channel>", "<channel|>"], "<|channel>thought\ntwo\n<channel|>4<|im_end|>"),
        ("mistral-common/v15_think", ["[THINK]", "[/THINK]"], "[THINK]two[/THINK]4<|im_end|>"),
    ],
)
def test_markers_may_be_control_tokens(name: str, controls: list[str], written: str, tmp_path: Path) -> None:
    tokenizer = public_coder(name)
    tokenizer.add_special_tokens({"additional_special_tokens": controls})
    (got,) = answers(tokenizer, tmp_path, written)
    assert (got.text, got.reasoning) == ("4", "two")


def test_a_stop_string_counts_in_the_answer_alone(tmp_path: Path) -> None:
    closed, opened = answers(coder(QWEN), tmp_path, "<think>\na\n\nb\n</think>\n\n4\n\nmore", "a\n\nb", stops=("\n\n",))
    assert (closed.text, closed.reasoning, closed.finish) == ("4", "a\n\nb", "stop")
    assert (opened.text, opened.finish) == ("a", "stop")
    (thinking,) = answers(coder(OPENED), tmp_path, "a\n\nb", stops=("\n\n",))
    assert (thinking.text, thinking.reasoning, thinking.finish) == ("", "a\n\nb", "length")


def test_references_are_split_as_answers_are_and_a_metric_takes_either(tmp_path: Path) -> None:
    from tasks.chat.reasoning import ReasoningReader
    from tasks.evaluate.predictions import prediction_columns, write

    tokenizer = coder(QWEN)
    references: list[dict[str, Any]] = [
        {"content": "4"},
        {"content": "4", "reasoning_content": "two"},
        {"content": "<think>two</think>\n\n4"},
        {"content": "5", "reasoning_content": "two"},
    ]
    held_out = [
        {
            "id": str(at), "slice": None, "source": "x", "tools": None,
            "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", **reference}],
        }
        for at, reference in enumerate(references)
    ]  # fmt: skip
    says = ["<think>\n\n</think>\n\n4<|im_end|>", *["<think>\ntwo\n</think>\n\n4<|im_end|>"] * 3]
    metrics = [Metric(kind="exact_match"), Metric(kind="exact_match", name="thought", of="reasoning")]
    columns = prediction_columns(
        held_out, [None] * 4, answers(tokenizer, tmp_path, *says), {}, metrics, tmp_path, ReasoningReader.of(tokenizer)
    )
    assert columns["reference"] == ["4", "4", "4", "5"] and columns["output"] == ["4"] * 4
    assert columns["exact_match"] == [1.0, 1.0, 1.0, 0.0]
    assert columns["reasoning"] == columns["reference_reasoning"] == ["", "two", "two", "two"]
    assert columns["thought"] == [1.0] * 4
    write(tmp_path / "predictions.parquet", columns, metrics)


def test_likelihoods_are_of_whole_turns() -> None:
    with pytest.raises(ValidationError, match="perplexity uses likelihoods of whole turns"):
        Metric(kind="perplexity", of="reasoning")


def test_the_room_and_the_loss_of_a_turn_include_its_reasoning() -> None:
    from tasks.chat.renderer import Renderer

    tokenizer = coder(QWEN)
    end = {tokenizer.eos_token_id}
    turn = {"role": "assistant", "content": "4", "reasoning_content": "two"}
    row = {"id": "x", "messages": [{"role": "user", "content": "2+2?"}, turn]}
    text = "<think>\ntwo\n</think>\n\n4"
    length = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert answer_room([row], tokenizer, end, 1000) == length + 8
    assert answer_room([row], tokenizer, end, 20) == 10
    prompt = tokenizer.apply_chat_template(row["messages"][:1], add_generation_prompt=True, tokenize=False)
    question = Question("x", prompt, "4", tuple(tokenizer(prompt, add_special_tokens=False)["input_ids"]), 0)
    ids = continuation_ids(row, turn, Renderer(tokenizer), tokenizer, question, end)
    assert tokenizer.decode(ids) == f"{text}<|im_end|>"
