"""Answers that a person marked become rows that the stage clean reads, and say where they come from."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.clean import stage as clean
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate.settings import Settings
from tasks.serve import terminal
from tasks.serve.collected import Collector
from tasks.serve.models import Model
from tasks.serve.run import Loaded
from tasks.serve.terminal import Dialogue
from tests.tasks import tiny
from tests.tasks.serve.serving import Scripted, service


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    base = tmp_path / "data/base/model"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"weights")
    return Paths(tmp_path)


def collector(paths: Paths, system: str = "") -> Collector:
    models = [Model(name, (paths.base / "model", paths.tokenizer)) for name in ("merged", "base")]
    return Collector(paths, models, system)


def lines(paths: Paths, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (paths.collected / name).read_text().splitlines()]


ASKED = [{"role": "user", "content": "list images"}, {"role": "assistant", "content": "ls"},
         {"role": "user", "content": "with docker"}]  # fmt: skip
MARKED = {"model": "merged", "messages": ASKED, "answer": "docker images", "sampling": {"temperature": 0}}


def test_rows_and_their_provenance(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    kept = collector(paths, "Be brief.")
    assert [Path(name).name for name in kept.save({"verdict": "good", **MARKED})] == ["kto.jsonl", "sft.jsonl"]
    kept.save({"verdict": "bad", **MARKED, "model": "base", "answer": "docker rm", "reasoning": "rm?"})
    kept.save({"verdict": "better", **MARKED, "rejected": {"model": "base", "answer": "docker rm"}})
    (row,) = lines(paths, "sft.jsonl")
    system = {"role": "system", "content": "Be brief."}
    assert row["messages"] == [system, ASKED[0], {**ASKED[1], "weight": 0}, ASKED[2],
                               {"role": "assistant", "content": "docker images"}]  # fmt: skip
    origin = row["provenance"]
    assert (origin["candidate"], origin["system"], origin["sampling"]) == ("merged", "Be brief.", {"temperature": 0})
    assert len(origin["sha256"]) == 64
    assert origin["marked_by"]
    assert origin["time"].endswith("+00:00")
    good, bad = lines(paths, "kto.jsonl")
    assert (good["label"], bad["label"]) == (True, False)
    assert bad["completion"] == [{"role": "assistant", "content": "docker rm", "reasoning_content": "rm?"}]
    (pair,) = lines(paths, "pairs.jsonl")
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("docker images", "docker rm")
    assert pair["provenance"]["rejected_candidate"] == "base"
    assert kept.rows == 4
    kept.tell()
    assert f"{kept.answers} answers saved in " in capsys.readouterr().out
    assert kept.answers < kept.rows


@pytest.mark.parametrize(
    ("name", "shape"), [("sft.jsonl", "messages"), ("kto.jsonl", "kto"), ("pairs.jsonl", "preference")]
)
def test_clean_reads_them(paths: Paths, name: str, shape: str) -> None:
    kept = collector(paths)
    for number in range(12):
        asked = [{"role": "user", "content": f"show the logs of container number {number}"}]
        marked = {"model": "merged", "messages": asked, "answer": f"docker logs {number}"}
        kept.save({"verdict": "good", **marked})
        kept.save({"verdict": "better", **marked, "rejected": {"model": "base", "answer": f"docker rm {number}"}})
    settings = {"input": str(paths.collected / name), "validation_share": 0.0, "test_share": 0.4, "max_loss": 0.0,
                "near_duplicate": None, "passage": None}  # fmt: skip
    clean.run(clean.Settings.model_validate(settings), paths)
    rows = [row for split in ("train", "test") for row in pq.read_table(paths.rows(split)).to_pylist()]
    ledger = tiny.read(paths.ledger)
    assert len(rows) == 12
    assert not any(ledger["left"].values())
    assert list(ledger["columns"]) == [shape]
    assert "docker logs 3" in json.dumps(rows)


def test_what_is_no_answer_is_not_kept(paths: Paths) -> None:
    kept = collector(paths)
    for change, message in (
        ({"answer": " "}, "the answer is empty"), ({"model": "gpt"}, "there is no model 'gpt' here; there are merged"),
        ({"messages": []}, "not a dialogue"), ({"messages": ASKED[:2]}, "not a dialogue"),
        ({"verdict": "so-so"}, "verdict"),
        ({"messages": [{"role": "user"}]}, "not a dialogue"), ({"verdict": "better"}, "needs `rejected`"),
        ({"verdict": "better", "rejected": {"model": "base", "answer": "docker images"}}, "both answers are the same"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            kept.save({"verdict": "good", **MARKED, **change})
    assert not paths.collected.exists()


def test_lines_from_a_pipe_are_read_without_a_prompt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("show logs\n"))
    assert [terminal._read(), terminal._read()] == ["show logs", "/quit"]
    assert capsys.readouterr().out == ""


def test_the_terminal_marks_an_answer_that_the_context_cuts(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    engines = {"merged": Scripted("docker ps"), "base": Scripted("once upon a", finish="length")}
    dialogue = Dialogue(service(tiny.tokenizer(), paths, "", **engines))
    dialogue.take("what runs?")
    assert capsys.readouterr() == (
        "merged> docker ps\nbase> once upon a\n",
        "Cut at the 400 tokens of the model's context. /reset starts over.\n",
    )
    dialogue.take("why? " * 400)
    refusals = capsys.readouterr().out.splitlines()
    assert len(refusals) == 2 and all(line.endswith("context is 400; /reset starts over") for line in refusals)


def test_an_answer_is_as_long_as_in_the_evaluation_unless_the_person_says_otherwise(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Scripted("once upon a", finish="length")
    dialogue = Dialogue(service(tiny.tokenizer(), paths, "", merged=engine), limits={"merged": 5})
    for line in ("what runs?", "/limit 1000", "what runs?", "/limit 9", "what runs?", "/limit off", "what runs?"):
        dialogue.take(line)
    assert [ask.max_tokens for ask in engine.asked][::2] == [5, 9]
    assert min(ask.max_tokens for ask in engine.asked[1::2]) > 9, "what the context has room for"
    marks = capsys.readouterr().err.splitlines()
    assert [mark.partition(".")[0] for mark in marks] == [
        "Cut after 5 tokens", "Cut at the 400 tokens of the model's context",
        "Cut after 9 tokens", "Cut at the 400 tokens of the model's context",
    ]  # fmt: skip
    dialogue.take("/limit long")
    assert "/limit takes a number of tokens" in capsys.readouterr().out


def test_the_limit_is_that_of_the_evaluation(tmp_path: Path) -> None:
    paths = tiny.project(tmp_path, method="none")
    tokenizer = tiny.tokenizer()
    one = service(tokenizer, paths, merged=Scripted("docker"))
    models = [Model("merged", (paths.base / "model", paths.tokenizer))]
    loaded = Loaded(one, models, {"merged": tokenizer}, Settings())
    references = [row["messages"][-1]["content"] for row in pq.read_table(paths.rows("test")).to_pylist()]
    longest = max(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in references)
    assert terminal.answer_limits(loaded, paths) == {"merged": longest + 8}
    paths.rows("test").unlink()
    assert terminal.answer_limits(loaded, paths) == {}
    asked = replace(loaded, settings=Settings(max_new_tokens=7))
    assert terminal.answer_limits(asked, paths) == {"merged": 7}


def test_the_terminal(paths: Paths) -> None:
    engines = {"merged": Scripted("docker", " ps"), "base": Scripted("<think>", "hm", "</think>", "no\x1b[2J")}
    shown: list[str] = []
    dialogue = Dialogue(service(tiny.tokenizer(), paths, "Be brief.", **engines), 0.5, shown.append)

    def told(*typed: str) -> str:
        shown.clear()
        assert all(dialogue.take(line) for line in typed)
        return "".join(shown)

    assert told("what runs?") == "merged> docker ps\nbase> hm\nno?[2J\n"
    assert engines["merged"].asked[0].temperature == 0.5
    assert told("/save good") == "/save good which? Give one of merged, base.\n"
    assert "sft.jsonl" in told("/save good merged")
    assert "pairs.jsonl" in told("/save better merged")
    (pair,) = lines(paths, "pairs.jsonl")
    assert pair["rejected"][0]["reasoning_content"] == "hm"
    assert pair["prompt"][0] == {"role": "system", "content": "Be brief."}
    told("and now?")
    assert told("/save better base") == "the two models have different dialogues; /reset, and ask both again.\n"
    assert "no such command" in told("/sav")
    assert told("/system") == "Be brief.\n"
    assert (
        told("/system Be long.", "/save bad base")
        == "A new dialogue.\nbase has not answered yet, so there is nothing to save.\n"
    )
    told("again?")
    tokenizer = tiny.tokenizer()
    assert tokenizer.decode(engines["base"].asked[-1].ids).startswith(
        "<|im_start|>system\nBe long.<|im_end|>\n<|im_start|>user\nagain?"
    )
    assert "Ctrl-D" in told("/help")
    assert told("", "  ") == ""
    assert dialogue.take("/quit") is False


def test_where_nothing_can_be_written_the_dialogue_goes_on(paths: Paths) -> None:
    paths.collected.write_text("a file where the folder should be")
    shown: list[str] = []
    dialogue = Dialogue(service(tiny.tokenizer(), paths, merged=Scripted("docker", " ps")), show=shown.append)
    assert dialogue.take("what runs?")
    assert dialogue.take("/save good")
    assert shown[-1].startswith("the answer cannot be saved: ")
    assert dialogue.service.collector.answers == 0
