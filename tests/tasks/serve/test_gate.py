"""Whether a server answers as the model did in evaluation: which rows tell, and what is said of those that differ."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import InputError
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.evaluate.predictions import write
from tasks.evaluate.settings import Settings
from tasks.serve import gate
from tasks.serve.run import verdict_lines
from tasks.teacher.settings import Teacher
from tests.tasks import tiny
from tests.tasks.evaluate.test_call_format import READ
from tests.tasks.teacher_server import Asked, Reply, Script, teacher_server

CHATS = tiny.conversations()[24:]
RIGHT = {chat[0]["content"]: chat[1]["content"] for chat in CHATS}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Eight held-out rows; `merged` answered all rightly, `base` half of them."""
    paths = Paths(tmp_path)
    paths.clean.mkdir(parents=True)
    pq.write_table(tiny.rows("test", CHATS), paths.rows("test"))
    evaluated(paths, "merged", [*RIGHT.values()])
    evaluated(paths, "base", [answer if number % 2 else "no" for number, answer in enumerate(RIGHT.values())])
    return paths


def evaluated(paths: Paths, candidate: str, outputs: list[str], **columns: list[Any]) -> None:
    ids = pq.read_table(paths.rows("test")).column("id").to_pylist()
    rows = len(outputs)
    prompts = [f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n" for question in RIGHT]
    every = {"id": ids, "prompt": prompts, "output": outputs, "reasoning": [""] * rows, "finish": ["stop"] * rows}
    paths.evaluation(candidate).mkdir(parents=True)
    write(paths.evaluation(candidate) / "predictions.parquet", {**every, **columns}, [])
    write_json(paths.evaluation(candidate) / "scores.json", {"max_new_tokens": 12})


def outcome(paths: Paths, script: Script, candidate: str = "merged", tokenizer: Any = None) -> tuple[Any, list[Asked]]:
    asked = gate.questions(candidate, 8, Settings(), paths)
    with teacher_server(script) as server:
        teacher = Teacher(kind="openai", base_url=server.base_url, model="m")
        return gate.verdict(candidate, asked, teacher, tokenizer, paths), server.asked


def test_the_same_answers(paths: Paths) -> None:
    result, asked = outcome(paths, lambda asked: f"{RIGHT[asked.text]}\n")
    assert (result.asked, result.differences, result.notes) == (8, [], [])
    assert {one.body["temperature"] for one in asked} == {0.0}
    assert {one.body["max_tokens"] for one in asked} == {13}
    assert verdict_lines("m", "merged", result) == ["m: 8 of 8 held-out rows answered as in the evaluation of merged"]


def test_a_missing_stop(paths: Paths) -> None:
    result, _ = outcome(paths, lambda asked: Reply(f"{RIGHT[asked.text]}\nuser: and now?", finish_reason="length"))
    assert {one.how for one in result.differences} == {"it continues after the answer: the server lacks a stop token"}
    result, _ = outcome(paths, lambda asked: Reply(RIGHT[asked.text], finish_reason="length"))
    assert {one.how for one in result.differences} == {
        "the same text, but it did not stop: the server lacks a stop token"
    }


def test_another_model(paths: Paths) -> None:
    answers = dict(
        zip(RIGHT, pq.read_table(paths.evaluation("base") / "predictions.parquet")["output"].to_pylist(), strict=True)
    )
    result, _ = outcome(paths, lambda asked: answers[asked.text])
    assert len(result.differences) == 4
    assert result.notes == ["these answers match those of base: does the server run that model?"]
    lines = verdict_lines("m", "merged", result)
    assert "    served     no" in lines
    assert "    evaluated  docker logs -f web" in lines
    result, _ = outcome(paths, lambda asked: "Certainly!\x1b[2J")
    assert result.notes == [
        "no row has the same answer as in the evaluation: the server runs another model or chat template."
    ]
    assert "\x1b" not in "".join(verdict_lines("m", "merged", result))


def test_another_template_shows_in_the_tokens_of_a_prompt(paths: Paths) -> None:
    coder = tiny.tokenizer()
    length = {
        question: len(coder(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")["input_ids"])
        for question in RIGHT
    }
    result, _ = outcome(paths, lambda asked: Reply(RIGHT[asked.text], tokens=(length[asked.text], 5)), tokenizer=coder)
    assert (result.differences, result.notes) == ([], [])
    result, _ = outcome(
        paths, lambda asked: Reply(RIGHT[asked.text], tokens=(length[asked.text] + 6, 5)), tokenizer=coder
    )
    assert result.differences == []
    assert len(result.notes) == 1
    assert "another chat template, system prompt or tokenizer" in result.notes[0]


def test_a_request_that_is_refused_is_a_difference(paths: Paths) -> None:
    result, _ = outcome(paths, lambda asked: 400)
    assert "the server rejected it: status 400: scripted failure 400" in {one.how for one in result.differences}
    with pytest.raises(InputError, match="rejects a request without a key"):
        outcome(paths, lambda asked: 401)


def test_rows_that_tell_candidates_apart_come_first(paths: Paths) -> None:
    chosen = gate.questions("merged", 4, Settings(), paths)
    assert {question.messages[-1]["content"] for question in chosen} == {*RIGHT} - {*[*RIGHT][1::2]}
    chosen = gate.questions("base", 4, Settings(), paths)
    assert sum(question.output == "no" for question in chosen) == 4
    evaluated(paths, "nf4", ["yes", "yes", "yes", "yes", "yes", "no", "yes", "perhaps"])
    assert {question.output for question in gate.questions("nf4", 3, Settings(), paths)} == {"yes", "no", "perhaps"}
    evaluated(paths, "int8", [""] * 8, finish=["chosen"] * 8)
    with pytest.raises(gate.NotEvaluated, match="int8: the evaluation has no generated answers to test rows"):
        gate.questions("int8", 3, Settings(), paths)


def test_an_answer_that_evaluation_cut_may_go_on_by_a_token(paths: Paths) -> None:
    evaluated(paths, "nf4", [*RIGHT.values()], finish=["length"] * 8)
    result, _ = outcome(paths, lambda asked: Reply(f"{RIGHT[asked.text]} and", finish_reason="length"), "nf4")
    assert result.differences == []


def test_calls_are_compared_by_what_they_call(paths: Paths) -> None:
    template, written, others, _ = READ["hermes"]
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    for output in (written, others[0]):
        paths.evaluation("nf4").is_dir() and __import__("shutil").rmtree(paths.evaluation("nf4"))
        evaluated(paths, "nf4", [output] * 8)
        rows = pq.read_table(paths.rows("test"))
        tools = json.dumps([{"type": "function", "function": {"name": "rain", "parameters": {}}}])
        if "tools" not in rows.column_names:
            pq.write_table(rows.append_column("tools", [[tools] * 8]), paths.rows("test"))
        for arguments, same in (('{"days": 2, "city": "Oslo"}', True), ('{"days": 3, "city": "Oslo"}', False)):
            call = {"id": "1", "type": "function", "function": {"name": "rain", "arguments": arguments}}
            result, asked = outcome(paths, lambda _, call=call: Reply(None, tool_calls=[call]), "nf4", tokenizer)  # type: ignore[misc]
            assert asked[0].body["tools"][0]["function"]["name"] == "rain"
            assert (not result.differences) == same
