"""A server of a run's models, asked with OpenAI's own client: the answers are those of the evaluation."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import CheckFailed, InputError, MachineError, SettingsError
from tasks.core.paths import Paths
from tasks.evaluate.settings import Settings
from tasks.serve.listening import listen
from tasks.serve.models import model, models
from tasks.serve.run import Options, Server, check, load_server
from tests.flows.project import ROOT
from tests.tasks import tiny
from tests.tasks.serve.serving import project, served

pytest.importorskip("torch")

NAMES = ("merged", "base", "adapter", "french", "gguf-q8_0", "base_system")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return project(tmp_path_factory.mktemp("serve"), "base", "base_system", "adapter", "merged", "gguf-q8_0")


@pytest.fixture(scope="module")
def server(paths: Paths) -> Iterator[Server]:
    with served(paths, *NAMES, anyway=True) as running:
        yield running


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def outputs(paths: Paths, candidate: str) -> dict[str, str]:
    """What was evaluated: by question the answer."""
    rows = pq.read_table(paths.evaluation(candidate) / "predictions.parquet").to_pylist()
    chats = tiny.conversations()[24:]
    return {chat[0]["content"]: row["output"] for chat, row in zip(chats, rows, strict=True)}


def asked(client: openai.OpenAI, name: str, question: str, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": question}]
    return client.chat.completions.create(**{"model": name, "messages": messages, "max_tokens": 12, **more})


@pytest.mark.parametrize("candidate", ["merged", "base", "adapter", "gguf-q8_0", "base_system"])
def test_every_candidate_answers_as_evaluated(client: openai.OpenAI, paths: Paths, candidate: str) -> None:
    for question, output in outputs(paths, candidate).items():
        answer = asked(client, candidate, question)
        assert answer.choices[0].message.content == output
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 12
        assert answer.model == candidate
        stream = asked(client, candidate, question, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == output


def test_several_adapters_share_one_base(client: openai.OpenAI, server: Server, paths: Paths) -> None:
    assert [one.id for one in client.models.list()] == [*NAMES]
    engines = {id(server.loaded.service.voices[name].engine) for name in ("base", "adapter", "french")}
    assert len(engines) == 1
    question = next(iter(outputs(paths, "base")))
    answers = {name: asked(client, name, question).choices[0].message.content for name in ("base", "adapter", "french")}
    assert len(set(answers.values())) == 3, "each has its own weights on the shared ones"
    assert asked(client, "base", question).choices[0].message.content == answers["base"], "and none is left switched on"


def test_stop_strings_usage_and_seeds(client: openai.OpenAI, paths: Paths) -> None:
    question, output = next(iter(outputs(paths, "merged").items()))
    stop = output[4:7]
    for name in ("merged", "gguf-q8_0"):
        answer = asked(client, name, question, stop=[stop])
        assert answer.choices[0].message.content == output[: output.index(stop)]
        assert answer.choices[0].finish_reason == "stop"
        *_, last = asked(client, name, question, stream=True, stream_options={"include_usage": True})
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (
            asked(client, name, question).usage.prompt_tokens,
            12,
        )
        drawn = [
            asked(client, name, question, temperature=1.5, seed=seed).choices[0].message.content for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]


def test_what_is_not_done_is_refused_by_name(client: openai.OpenAI) -> None:
    for more, message in (
        ({"n": 2}, "n = 2"), ({"logprobs": True}, "logprobs"), ({"response_format": {"type": "json_object"}}, "json"),
        ({"max_tokens": 0}, "max_tokens = 0"), ({"temperature": 3}, "temperature = 3"), ({"stop": [1]}, "stop"),
        ({"extra_body": {"top_k": 4}}, "top_k: this server does not support it"),
        ({"tools": [{}]}, r"tools\[0\] must be a function"),
        ({"tools": [1]}, r"tools\[0\] must be a function"),
        ({"messages": []}, "messages"), ({"messages": [{"role": "user", "content": "a " * 300}]}, "tokens long"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "not text"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError, match=message):
            asked(client, "merged", "stop web", **more)
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'; available: merged, base"):
        asked(client, "gpt", "stop web")


def test_a_body_that_no_client_sends_is_refused_in_a_sentence(server: Server) -> None:
    def refused(body: bytes) -> str:
        reply = httpx.post(f"{server.url}/chat/completions", content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == 400
        return str(reply.json()["error"]["message"])

    head = b'{"model": "merged", "messages": [{"role": "user", "content": "stop web"}], '
    assert refused(b'{"model": ') == "the request body is not JSON"
    assert refused(b"[" * 100_000 + b"]" * 100_000) == "the request body is not JSON"
    assert refused(b'{"model": "merged", "messages": [{"role": [], "content": "x"}]}').startswith("messages[0] has the")
    assert "surrogate" in refused(b'{"model": "merged", "messages": [{"role": "user", "content": "\\ud800"}]}')
    assert "a whole number of at most" in refused(head + b'"seed": 10000000000000000000}')
    assert refused(head + b'"stream": true, "stream_options": "x"}') == "stream_options must be an object"


def test_refusals_have_the_form_of_openai_and_say_what_to_do(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def sentence(reply: httpx.Response, status: int) -> str:
        assert reply.status_code == status
        return str(reply.json()["error"]["message"])

    root = server.url.removesuffix("/v1")
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # as curl sends it
    bare = httpx.post(f"{server.url}/chat/completions", content=b"{}", headers=form)
    assert sentence(bare, 415) == "send the header Content-Type: application/json"
    question = {"messages": [{"role": "user", "content": "show logs of web"}]}
    voices = server.loaded.service.voices
    missing = httpx.post(f"{server.url}/chat/completions", json=question)
    assert sentence(missing, 400) == f"`model` is missing; available: {', '.join(voices)}"
    monkeypatch.setattr(server.loaded.service, "voices", {"merged": voices["merged"]})
    assert httpx.post(f"{server.url}/chat/completions", json=question).json()["model"] == "merged", "the only one"
    api = "the API is POST /v1/chat/completions and GET /v1/models"
    assert sentence(httpx.post(f"{root}/v1/embeddings", json={}), 404) == f"there is no POST /v1/embeddings here; {api}"
    assert sentence(httpx.get(f"{root}/v1/chat/completions"), 405).endswith(api)


def test_other_pages_get_nothing_and_write_nothing(server: Server, paths: Paths) -> None:
    root = server.url.removesuffix("/v1")
    body = {"model": "merged", "messages": [{"role": "user", "content": "stop web"}], "max_tokens": 2}
    ask = f"{server.url}/chat/completions"
    assert httpx.post(ask, json=body, headers={"Origin": "http://evil.example"}).status_code == 403
    assert httpx.post(ask, json=body, headers={"Host": "evil.example"}).status_code == 403
    assert httpx.post(ask, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert httpx.post(ask, json=body, headers={"Origin": root}).status_code == 200
    marked = {"verdict": "good", "model": "merged", "answer": "x", "messages": body["messages"]}
    for headers in (
        {},
        {"X-Temper": "guess"},
        {"X-Temper": server.loaded.service.word, "Origin": "http://evil.example"},
    ):
        assert httpx.post(f"{root}/collected", json=marked, headers=headers).status_code == 403
    assert not paths.collected.exists()
    page = httpx.get(f"{root}/")
    assert page.status_code == 200
    assert server.loaded.service.word not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_model_that_answers_otherwise_is_not_ready(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights changed after the evaluation."""
    other = copied(paths, tmp_path)
    shutil.copy(other.base / "model" / "model.safetensors", other.merged / "model.safetensors")
    with (
        pytest.raises(
            CheckFailed, match="merged: does not answer as in the evaluation, so the server stops; use --anyway"
        ),
        served(other, "merged"),
    ):
        raise AssertionError("it is not ready")
    printed = capsys.readouterr().out
    assert "merged: 0 of 8 held-out rows answered as in the evaluation" in printed
    assert "these answers match those of base: does the server run that model?" in printed


def copied(paths: Paths, folder: Path) -> Paths:
    """A copy of the project that may be broken."""
    shutil.copytree(paths.root, folder / "other")
    return Paths(folder / "other")


def test_a_model_that_was_never_evaluated_is_refused_before_it_is_loaded(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("tasks.serve.run.load_models", lambda chosen, *_: loaded.extend(one.name for one in chosen))
    fault = (
        r"french was not evaluated, so .* \(evaluated: adapter, base, base_system, gguf-q8_0, merged\); `temper run`"
    )
    with pytest.raises(InputError, match=f"{fault}.* To serve it unchecked, add --anyway.") as refused:
        load_server(Options(["merged", "french"], port=0), paths)
    assert "does not answer" not in str(refused.value) and loaded == []
    server = load_server(Options(["merged", "french"], port=0, anyway=True), paths)
    server.socket.close()
    assert "french is served unchecked." in capsys.readouterr().out
    assert loaded == ["merged", "french"] and {*server.asked} == {"merged"}


def test_checked_from_outside(server: Server, paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(server.url, "merged", None, None, 8, paths) == 0
    assert check(server.url, "merged", "gguf-q8_0", None, 8, paths) in (0, 1)
    capsys.readouterr()
    assert check(server.url, "merged", "base", None, 8, paths) == 1
    assert "these answers match those of base" in capsys.readouterr().out
    assert check(server.url, "base_system", None, None, 8, paths) == 0
    with pytest.raises(
        InputError, match="french was not evaluated, so there are no answers to compare with \\(evaluated: adapter, "
    ):
        check(server.url, "french", None, None, 8, paths)
    for url, message in (
        ("ftp://x", "must start with http"),
        ("http://me:pw@x/v1", "contains a password"),
        ("http://[::1", "is not the address"),
    ):
        with pytest.raises(SettingsError, match=message):
            check(url, "merged", None, None, 8, paths)
    with pytest.raises(MachineError, match="cannot be reached"):
        check("http://127.0.0.1:9/v1", "merged", None, None, 8, paths)
    with pytest.raises(InputError, match="does the URL end in /v1"):
        check(server.url.removesuffix("/v1"), "merged", None, None, 8, paths)


def test_a_wrong_template_and_a_missing_stop_are_found(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copied(paths, tmp_path)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = tiny.CHATML.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant\\n\\n'")
    tokenizer.save_pretrained(other.tokenizer)
    with served(other, "merged", anyway=True) as server:
        capsys.readouterr()
        assert check(server.url, "merged", None, None, 8, paths) == 1
    assert "another chat template, system prompt or tokenizer" in capsys.readouterr().out


def test_what_is_missing_is_said_with_the_command_that_makes_it(paths: Paths, tmp_path: Path) -> None:
    settings = Settings()
    there = "available: base, base_system, adapter, merged, gguf-q8_0, french."
    with pytest.raises(
        InputError, match=rf"^nf4 does not exist yet: run `temper run --set quantize.schemes=\[.*nf4\]`; {there}"
    ):
        model("nf4", settings, paths)
    with pytest.raises(SettingsError, match=f"^there is no candidate 'mergd'; {there}"):
        model("mergd", settings, paths)
    with pytest.raises(
        InputError, match=r"^ollama does not exist yet: run `temper run --set export.formats=\[ollama\]`"
    ):
        model("ollama", settings, paths)
    with pytest.raises(SettingsError, match="torchtune is an export for another program; serve merged"):
        model("torchtune", settings, paths)
    with pytest.raises(SettingsError, match="merged is named twice"):
        models(["merged", "merged"], settings, paths)
    with pytest.raises(InputError, match="merged does not exist yet: run `temper run`; there is no model here yet"):
        model("merged", settings, Paths(tmp_path))


def test_missing_weights_are_named_with_what_restores_them_before_libraries_load(paths: Paths, tmp_path: Path) -> None:
    other = copied(paths, tmp_path)
    assert model("merged", Settings(), other)
    (other.merged / "model.safetensors").unlink()
    program = (
        "import sys; from tasks.serve.models import Paths, Settings, model\n"
        "try: model('merged', Settings(), Paths())\n"
        "except Exception as error: print(error)\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=other.root, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == (
        "data/merged/model.safetensors: this file with weights is missing; run `dvc checkout --force data/merged`, or "
        "`temper run`.\nset()\n"
    ), done.stderr


def test_open_to_others_with_a_warning(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    with served(paths, "merged", host="0.0.0.0", rows=1) as server:
        assert "Anyone who can reach 0.0.0.0 can use these models: there is no password" in capsys.readouterr().out
        port = server.socket.getsockname()[1]
        for host, status in ((f"{socket.gethostname()}:{port}", 200), (f"evil.example:{port}", 403)):
            assert httpx.get(f"{server.url}/models", headers={"Host": host}).status_code == status


def test_a_port_in_use_is_one_sentence(paths: Paths) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"^port {port} of 127.0.0.1 is in use; choose another one with --port"):
            load_server(Options(["merged"], port=port), paths)
    with pytest.raises(SettingsError, match="--port 70000"):
        listen("127.0.0.1", 70000)


@pytest.mark.long
def test_chat_in_a_terminal(paths: Paths, tmp_path: Path) -> None:
    other = copied(paths, tmp_path)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tasks.serve", "chat", "merged"], cwd=other.root, env=environment,
        input="show logs of web\n/save good\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Talking to" not in done.stdout and "you>" not in done.stdout, "input is no terminal"
    assert "temper data add data/collected" in done.stdout
    assert done.stderr == ""
    assert len((other.collected / "sft.jsonl").read_text().splitlines()) == 1


@pytest.mark.long
def test_a_signal_ends_it_cleanly(paths: Paths) -> None:
    command = [sys.executable, "-P", "-m", "tasks.serve", "serve", "merged", "--port", "0", "--rows", "2"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(paths.root), "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=paths.root, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr
        lines = [process.stdout.readline()]
        while "Page:" not in lines[-1] and lines[-1]:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "merged: 2 of 2 held-out rows answered as in the evaluation\n" in lines
        assert process.stdout.read() == "temper serve: ended.\n"
        assert process.stderr.read() == ""
