"""Asking how likely tokens are: once a row, exactly what the budget says, of the very tokens that are trained."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from tasks.core.errors import InputError, MachineError, SettingsError, TemperError
from tasks.core.paths import Paths
from tasks.distill import stage as distill
from tasks.distill.names import Names
from tasks.distill.price import price
from tasks.distill.rows import spans
from tasks.training.rows import load
from tests.tasks import tiny
from tests.tasks.scoring import scored
from tests.tasks.teacher_server import Asked, Reply, teacher_server

ROWS = 6


@pytest.fixture
def templated(tmp_path: Path) -> Paths:
    """Six rows of which the answer is labelled, and a tokenizer."""
    paths, coder = Paths(tmp_path), tiny.tokenizer()
    coder.save_pretrained(paths.tokenizer)
    written(paths, [coder.apply_chat_template(chat, tokenize=False) for chat in tiny.conversations()[:ROWS]], coder)
    return paths


def written(paths: Paths, texts: list[str], coder: Any) -> None:
    rows = [coder(text, add_special_tokens=False)["input_ids"] for text in texts]
    start = coder.convert_tokens_to_ids("<|im_start|>")
    labels = []
    for ids in rows:
        first = len(ids) - ids[::-1].index(start) + 2  # behind the last `<|im_start|>assistant\n`
        labels.append([-100] * first + ids[first:-1] + [-100])
    columns = {"id": [f"row{number}" for number in range(len(rows))], "input_ids": rows, "labels": labels}
    schema = pa.schema([("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    with pa.OSFile(str(paths.tokens("train")), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        stream.write_table(pa.table(columns, schema=schema))


def settings(base_url: str, budget: dict[str, Any] | None = None, **more: Any) -> distill.Settings:
    teacher = {"kind": "openai", "base_url": base_url, "model": "t", "max_retries": 0, "concurrency": 1}
    prices = {"input_price": 1.0, "output_price": 50.0}
    values = {"splits": ["train"], "teacher": {**teacher, **prices}, "top": 2, "budget": budget or {}, **more}
    return distill.Settings.model_validate(values)


def entries(ids: list[int]) -> list[Any]:
    """The own token with a half, 5 and 6 with a quarter and an eighth; all decode as the tests' tokenizer has it."""
    listed: list[Any] = [None]
    for own in ids[1:]:
        values = {5: 0.25, 6: 0.125, own: 0.5}
        listed.append({str(token): _entry(math.log(value), decoded(token)) for token, value in values.items()})
    return listed


@cache
def decoded(token: int) -> str:
    return str(tiny.tokenizer().decode([token]))


def all_told(ids: list[int], text: str, **more: float) -> list[Any]:
    """The own token with 1 / e, read as `text`, and what else is told at each position."""
    also = {token: _entry(value, "") for token, value in more.items()}
    return [None, *[{str(token): _entry(-1.0, text), **also} for token in ids[1:]]]


def _entry(logprob: float, text: str) -> dict[str, Any]:
    return {"logprob": logprob, "rank": 1, "decoded_token": text}


def well(asked: Asked) -> Reply:
    return scored(entries(asked.body["prompt"]), len(asked.body["prompt"]))


def test_stretches_with_a_label_but_not_the_first_token() -> None:
    assert spans([-100, 7, 8, -100, -100, 9, -100]) == [[1, 3], [5, 6]]
    assert spans([4, 7]) == [[1, 2]]
    assert spans([4]) == spans([-100, -100]) == spans([]) == []


def test_each_labelled_token_has_what_the_teacher_told_of_it(templated: Paths) -> None:
    with teacher_server(well) as server:
        distill.run(settings(server.base_url), templated, "train")
        body = server.asked[0].body
    assert server.asked[0].path == "/v1/completions"
    assert (body["prompt_logprobs"], body["max_tokens"], body["temperature"]) == (2, 1, 0.0)
    before, rows = load(templated.tokens("train")), load(templated.distilled("train") / "rows.arrow")
    assert body["prompt"] == before[0]["input_ids"][:-1], "nothing behind the last label is paid for"
    assert [row["input_ids"] for row in rows] == [row["input_ids"] for row in before]
    assert [row["labels"] for row in rows] == [row["labels"] for row in before]
    own = [label for label in rows[0]["labels"] if label != -100]
    ids = np.array(rows[0]["top_ids"]).reshape(len(own), 3)
    assert ids.tolist() == [[token, 5, 6] for token in own]
    assert np.exp(rows[0]["top_logprobs"]).reshape(-1, 3) == pytest.approx(np.tile([0.5, 0.25, 0.125], (len(own), 1)))
    facts = tiny.read(templated.distilled("train") / "distilled.json")
    assert (facts["rows"], facts["top"], facts["covered"], facts["nats"]) == (ROWS, 2, 0.875, pytest.approx(0.693147))
    sent = sum(len(row["input_ids"]) - 1 for row in before)
    assert (facts["input_tokens"], facts["output_tokens"]) == (sent, ROWS)
    assert facts["cost"] == pytest.approx((sent + 50 * ROWS) / 1e6)
    priced = price(settings(server.base_url).teacher, templated.tokens("train"))  # type: ignore[arg-type]
    assert (priced.rows, priced.tokens) == (ROWS, sent + ROWS)
    assert priced.cost == pytest.approx(facts["cost"])


def test_after_a_kill_nothing_is_asked_twice_and_the_bytes_are_the_same(templated: Paths, tmp_path: Path) -> None:
    def gone(asked: Asked) -> Reply:
        return well(asked) if asked.number < 3 else Reply(close=True)

    with teacher_server(gone) as server, pytest.raises((MachineError, InputError)):
        distill.run(settings(server.base_url), templated, "train")
    assert not templated.distilled("train").exists()
    with teacher_server(well) as server:
        distill.run(settings(server.base_url), templated, "train")
        assert len(server.asked) == ROWS - 3
        first = tiny.contents(templated.distilled("train"))
        record = templated.likelihoods("train").read_bytes()
    distill.run(settings(server.base_url), templated, "train")  # nobody listens there any more
    again = tiny.contents(templated.distilled("train"))
    assert {name: again[name] for name in ("rows.arrow", "distilled.json")} == {
        name: first[name] for name in ("rows.arrow", "distilled.json")
    }
    assert templated.likelihoods("train").read_bytes() == record


def test_a_budget_is_enough_to_the_token_or_refused_before_anything_is_asked(templated: Paths) -> None:
    needed = sum(len(row["input_ids"]) for row in load(templated.tokens("train")))  # the last one is not sent
    cost = ((needed - ROWS) + 50 * ROWS) / 1e6
    with teacher_server(well) as server:
        for budget, message in (
            ({"max_tokens": needed - 1}, f"{needed:,} tokens"),
            ({"max_cost": cost * 0.99}, "max_cost"),
        ):
            with pytest.raises(SettingsError, match=message):
                distill.run(settings(server.base_url, budget), templated, "train")
            with pytest.raises(SettingsError, match=message):
                distill.validate(settings(server.base_url, budget), templated)
        assert not server.asked
        distill.run(settings(server.base_url, {"max_tokens": needed, "max_cost": cost * 1.0001}), templated, "train")
        assert len(server.asked) == ROWS


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda ids: scored(None, len(ids)), "returns no likelihoods of a prompt.*generate rows with it"),
        (lambda ids: scored([*entries(ids), None], len(ids)), r"reads \d+ tokens as \d+; use a teacher with"),
        (lambda ids: scored([{}] * len(ids), len(ids)), "no likelihood of the token at position"),
        (lambda ids: scored(all_told(ids, "Ж~9"), len(ids)), r"tokens of row row0 as '~9~9.*objective gold"),
        (lambda ids: scored(all_told(ids, "", **{"999": -0.5}), len(ids)), "most likely token in row row0 is 999, but"),
        (lambda ids: Reply(status=400, body=b'{"error": {"message": "too many"}}'), r"too many.*lower distill\.top"),
        (lambda ids: Reply(status=404, body=b"{}"), "has no 't'"),
        (lambda ids: scored(all_told(ids, "", **{"5": math.nan}), len(ids)), "are not log-probabilities .*nan"),
        (lambda ids: scored(all_told(ids, "", **{"5": 0.5}), len(ids)), "which are 0 or less"),
        (lambda ids: scored(all_told(ids, "", **{"5": -0.1}), len(ids)), "add up to 1.27, more than 1"),
        (lambda ids: scored(all_told(ids, ""), len(ids)), "returns the likelihoods of the row's own tokens only"),
        (lambda ids: Reply(body=b"[" * 100_000), "not an answer of OpenAI's protocol"),
        (lambda ids: 500, "status 500.*Look at the server and run again"),
    ],
    ids=[
        "none", "count", "own", "text", "outside", "top", "model", "nan", "positive", "sum", "alone", "deep", "status",
    ],
)  # fmt: skip
def test_a_server_of_another_kind_is_paid_for_one_row(templated: Paths, reply: Any, message: str) -> None:
    with teacher_server(lambda asked: reply(asked.body["prompt"])) as server:
        with pytest.raises(TemperError, match=message):
            distill.run(settings(server.base_url), templated, "train")
        assert len(server.asked) == 1
    assert not templated.distilled("train").exists()


def test_a_check_asks_a_server_that_is_there_and_no_other(templated: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    with teacher_server(lambda asked: scored(None, 2)) as server:
        with pytest.raises(InputError, match="returns no likelihoods"):
            distill.validate(settings(server.base_url), templated)
        monkeypatch.delenv("NO_SUCH_KEY", raising=False)  # a Prefect Secret may have it
        teacher = {**settings(server.base_url).model_dump()["teacher"], "key_variable": "NO_SUCH_KEY"}
        distill.validate(settings(server.base_url, teacher=teacher), templated)
        forms = [["/v1/completions"], ["/v1/completions"], ["/generate"], ["/v1/completions"] * 2]
        assert [[asked.path] for asked in server.asked] == [[path] for form in forms for path in form]
    distill.validate(settings(server.base_url), templated)  # gone
    with teacher_server(lambda asked: Reply(body=b"<html>")) as server, pytest.raises(InputError, match="base_url"):
        distill.validate(settings(server.base_url), templated)
    with teacher_server(lambda asked: 400) as server, pytest.raises(InputError, match=r"lower distill\.top"):
        distill.validate(settings(server.base_url), templated)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"teacher": None}, "needs distill.teacher of the kind openai"),
        ({"teacher": {"kind": "local", "model": "x"}}, "align.objective gkd, or gold"),
        ({"splits": ["validation"]}, "add train to distill.splits"),
        ({"splits": ["train", "train"]}, "more than once"),
        ({"splits": ["test"]}, "'train' or 'validation'"),
        ({"teacher": {"kind": "openai", "base_url": "http://x", "model": "t", "top_p": 0.5}}, r"teacher\.top_p has no"),
        ({"top": 0}, "greater than or equal to 1"),
        *(
            ({"teacher": {"kind": "openai", "base_url": url, "model": "t"}}, "base_url is not the address of a server")
            for url in ("http://", "http://a b/v1", "http://x:99999/v1", "http://[::1/v1", "http://x/v1?key=1")
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings("http://127.0.0.1:1/v1", **values)


def echoed(asked: Asked) -> Reply:
    """As OpenAI's completions tell them, by text; the token that is answered stands behind the prompt's."""
    ids = asked.body["prompt"]
    assert (asked.body["echo"], asked.body["max_tokens"]) == (True, 1)
    likeliest = [{decoded(own): math.log(0.5), decoded(5): math.log(0.25), decoded(6): math.log(0.125)} for own in ids]
    logprobs = {
        "tokens": [*map(decoded, ids), "x"],
        "token_logprobs": [None, *[math.log(0.5)] * len(ids)],
        "top_logprobs": [None, *likeliest[1:], {"x": -0.1}],
        "text_offset": [0] * (len(ids) + 1),
    }
    choice = {"index": 0, "text": "x", "finish_reason": "length", "logprobs": logprobs}
    usage = {"prompt_tokens": len(ids), "completion_tokens": 1, "total_tokens": len(ids) + 1}
    return Reply(body=json.dumps({"object": "text_completion", "choices": [choice], "usage": usage}).encode())


def by_ids(asked: Asked) -> Reply:
    """As vLLM writes tokens where it is told to write ids."""
    body, ids = json.loads(echoed(asked).body or b""), asked.body["prompt"]
    logprobs = body["choices"][0]["logprobs"]
    logprobs["tokens"] = [f"token_id:{token}" for token in (*ids, 5)]
    listed = [{5: math.log(0.25), 6: math.log(0.125), own: math.log(0.5)} for own in (*ids, 5)]
    named = [{f"token_id:{token}": value for token, value in one.items()} for one in listed[1:]]
    logprobs["top_logprobs"] = [None, *named]
    return Reply(body=json.dumps(body).encode())


def generated(asked: Asked) -> Reply:
    """As SGLang's own address tells them."""
    if asked.path != "/generate":
        return Reply(status=400, body=b'{"message": "unknown key"}')
    ids = asked.body["input_ids"]
    assert (asked.body["return_logprob"], asked.body["logprob_start_len"]) == (True, 0)
    assert asked.body["sampling_params"] == {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 1}
    half, quarter, eighth = (math.log(value) for value in (0.5, 0.25, 0.125))
    likeliest = [[[half, own, decoded(own)], [quarter, 5, decoded(5)], [eighth, 6, decoded(6)]] for own in ids]
    about = {
        "finish_reason": {"type": "length", "length": 1},
        "prompt_tokens": len(ids),
        "completion_tokens": 1,
        "input_token_logprobs": [[None, ids[0], decoded(ids[0])], *[[half, own, decoded(own)] for own in ids[1:]]],
        "input_top_logprobs": [None, *likeliest[1:]],
        "output_token_logprobs": [[-0.1, 7, "x"]],
    }
    return Reply(body=json.dumps({"text": "x", "meta_info": about}).encode())


def llama(asked: Asked) -> Reply:
    """As llama.cpp's server: likelihoods of what it answers, which a bias may choose, and none of a prompt."""
    if asked.path != "/v1/completions":
        return Reply(status=404, body=b'{"error": {"message": "File Not Found"}}')
    (answered,) = asked.body.get("logit_bias", {"7": 0})
    listed = [{"id": 5, "token": "x", "logprob": -0.2}, {"id": 6, "token": "y", "logprob": -3.0}]
    token = {"id": int(answered), "token": "", "bytes": [], "logprob": -4.0, "top_logprobs": listed}
    choice = {"index": 0, "text": "x", "finish_reason": "length", "logprobs": {"content": [token]}}
    usage = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
    return Reply(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def mute(asked: Asked) -> Reply:
    """A server that answers, and tells no likelihoods."""
    if asked.path != "/v1/completions":
        return Reply(status=404, body=b'{"error": {"message": "File Not Found"}}')
    usage = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
    choice = {"index": 0, "text": "x", "finish_reason": "length", "logprobs": None}
    return Reply(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def vllm_alone(asked: Asked) -> Reply:
    """vLLM that knows no other form, and no more than one token."""
    if "prompt_logprobs" not in asked.body or asked.body["prompt_logprobs"] > 1:
        return Reply(status=400, body=b'{"message": "max allowed"}')
    return well(asked)


@pytest.mark.parametrize(("form", "answer"), [("echo", echoed), ("echo", by_ids), ("generate", generated)])
def test_other_forms_tell_the_same(templated: Paths, form: str, answer: Any) -> None:
    with teacher_server(well) as server:
        distill.run(settings(server.base_url), templated, "train")
    first = tiny.contents(templated.distilled("train"))["rows.arrow"]
    facts = tiny.read(templated.distilled("train") / "distilled.json")
    with teacher_server(answer) as server:
        distill.validate(settings(server.base_url, form=form), templated)
        distill.run(settings(server.base_url, form=form), templated, "train")
    assert tiny.contents(templated.distilled("train"))["rows.arrow"] == first
    assert tiny.read(templated.distilled("train") / "distilled.json") == facts


@pytest.mark.parametrize(
    ("form", "answer", "message"),
    [
        ("prompt_logprobs", generated, "but it does in the form generate; set distill.form to generate"),
        ("generate", vllm_alone, "but it does in the form prompt_logprobs; set distill.form to prompt_logprobs"),
        ("prompt_logprobs", vllm_alone, r"refuses 2 tokens per position .*max allowed.*lower distill\.top"),
        ("prompt_logprobs", llama, "but it does in the form next_token; set distill.form to next_token"),
        ("next_token", vllm_alone, "but it does in the form prompt_logprobs; set distill.form to prompt_logprobs"),
        ("prompt_logprobs", mute, r"no likelihoods of a prompt's tokens when it is asked by prompt.*teacher"),
        ("next_token", mute, "no likelihoods of a prompt's tokens when it is asked by next_token"),
        ("generate", mute, "has no 't', or the URL is wrong"),
    ],
    ids=["sglang", "vllm", "top", "llama", "vllm-next", "mute", "mute-next", "mute-generate"],
)  # fmt: skip
def test_a_check_names_the_form_that_a_server_knows(templated: Paths, form: str, answer: Any, message: str) -> None:
    with teacher_server(answer) as server, pytest.raises(TemperError, match=message):
        distill.validate(settings(server.base_url, form=form), templated)


def test_more_tokens_than_asked_for_and_some_that_are_none_are_left_out(templated: Paths) -> None:
    def more(asked: Asked) -> Reply:
        ids = asked.body["prompt"]
        listed = all_told(ids, "", **{"-5": -3.0, "5": -2.0, "6": -3.0, "7": -4.0, "8": -math.inf})
        usage = {"prompt_tokens": -1, "completion_tokens": 10**30}
        body = {"choices": [{"index": 0, "text": "x", "prompt_logprobs": listed}], "usage": usage}
        return Reply(body=json.dumps(body).encode())

    with teacher_server(more) as server:
        distill.run(settings(server.base_url), templated, "train")
    (row, *_) = load(templated.distilled("train") / "rows.arrow")
    own = [label for label in row["labels"] if label != -100]
    assert np.array(row["top_ids"]).reshape(len(own), 3)[:, :2].tolist() == [[token, 5] for token in own]


def test_files_of_no_stage_are_refused(templated: Paths) -> None:
    for content in (b"", b"abc", templated.tokens("train").read_bytes()[:300]):
        templated.tokens("train").write_bytes(content)
        for ask in (distill.validate, lambda one, paths: distill.run(one, paths, "train")):
            with pytest.raises(InputError, match="not rows as a stage writes them"):
                ask(settings("http://127.0.0.1:1/v1"), templated)
    record = templated.likelihoods("train")
    record.parent.mkdir(parents=True)
    record.write_bytes(b"\xff\x00\n")
    written(templated, ["<|im_start|>assistant\ndocker ps<|im_end|>\n"], tiny.tokenizer())
    with pytest.raises(InputError, match="line 1: not a valid line of a response record"):
        distill.run(settings("http://127.0.0.1:1/v1"), templated, "train")


def test_texts_of_several_tokens_name_none() -> None:
    class Coder:
        """Tokens of SentencePiece, two of which have the same text."""

        tokens = ("<s>", "▁the", "the", "<0xE2>", " the", "▁")

        def __len__(self) -> int:
            return len(self.tokens)

        def convert_ids_to_tokens(self, ids: range) -> list[str]:
            return [self.tokens[token] for token in ids]

    names = Names(Coder())
    assert [names.id(name) for name in ("<s>", "the", " the", " ", "nobody")] == [0, 2, None, 5, None]
    assert [names.id(token) for token in (0, 5, 6)] == [0, 5, None]


def test_a_row_without_a_label_leaves_with_its_reason(templated: Paths) -> None:
    rows = load(templated.tokens("train")).to_list()
    rows[1]["labels"] = [-100] * len(rows[1]["labels"])
    schema = load(templated.tokens("train")).data.schema
    table = pa.Table.from_pylist(rows, schema=schema.remove_metadata())
    templated.tokens("train").unlink()
    with pa.OSFile(str(templated.tokens("train")), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    with teacher_server(well) as server:
        distill.run(settings(server.base_url), templated, "train")
        assert len(server.asked) == ROWS - 1
    facts = tiny.read(templated.distilled("train") / "distilled.json")
    assert (facts["rows"], facts["left"]) == (ROWS - 1, {"no token to learn": 1})
