"""What the card says of using the model runs as it stands; and what it says of the model is said by its own project."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.core.files import read_json, write_json
from tasks.core.paths import Paths
from tasks.report.settings import Settings
from tasks.report.stage import run
from tasks.report.usage import usage
from tests.tasks import tiny

SEED = {"title": "Docker assistant", "purpose": "Commands.", "licence": "apache-2.0", "limits": "Docker only."}


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def results(*schemes: str) -> Any:
    quantized = [{"scheme": scheme} for scheme in schemes]
    return SimpleNamespace(scores={"merged": {"max_new_tokens": 12}}, quantized=quantized, merge={})


def test_each_way_is_there_with_the_files_of_the_run() -> None:
    text = usage(results("nf4", "gguf-q4_0"))
    assert [language for language, _ in blocks(text)] == ["python", "sh", "sh", "sh", "sh"]
    assert "llama-server --model data/quantized/gguf-q4_0/model-q4_0.gguf" in text
    assert "quantize.schemes" not in text
    assert "temper run --set quantize.schemes=[gguf-q8_0]\nllama-server" in usage(results("nf4"))
    assert "ollama create" in text
    assert "vllm serve data/merged" in text
    assert len(blocks(text)[0][1].splitlines()) == 3
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|work)\b", text)


@pytest.mark.long
def test_transformers_and_curl_run_as_they_stand(tmp_path: Path) -> None:
    from tests.tasks.serve.serving import project as tiny_project
    from tests.tasks.serve.serving import served

    paths = tiny_project(tmp_path, "merged")
    (_, program), (_, shell), *_ = blocks(usage(results()))
    command = shell.splitlines()[1]
    assert command.startswith("curl ")
    with served(paths, "merged") as server:
        port = server.socket.getsockname()[1]
        printed = subprocess.run(
            ["sh", "-c", command.replace(":8000/", f":{port}/")], capture_output=True, text=True, check=True
        ).stdout
    answer = json.loads(printed)["choices"][0]["message"]["content"]
    assert answer
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=paths.root, capture_output=True, text=True, check=True
    ).stdout
    assert done.splitlines()[-1] == answer


@pytest.mark.long
def test_llama_server_reads_the_line_and_the_template(tmp_path: Path) -> None:
    """By the server of llama.cpp in the package xllamacpp, which is `llama-server` without its command line."""
    import shlex
    import urllib.request

    import xllamacpp

    from tests.tasks.serve.serving import project as tiny_project

    paths = tiny_project(tmp_path, "gguf-q8_0")
    *_, (_, shell) = blocks(usage(results("gguf-q8_0")))
    program, *options = shlex.split(shell)
    assert program == "llama-server" and options[2:] == ["--jinja", "--temp", "0"] and options[0] == "--model"
    params = xllamacpp.CommonParams()
    params.model.path, params.use_jinja, params.sampling.temp = str(paths.root / options[1]), True, 0.0
    params.port, params.warmup, params.verbosity = 0, False, -1
    server = xllamacpp.Server(params)
    body = {"messages": [{"role": "user", "content": "stop web"}], "max_tokens": 5}
    request = urllib.request.Request(
        f"{server.listening_address}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
    prompt = "<|im_start|>user\nstop web<|im_end|>\n<|im_start|>assistant\n"
    assert answer["usage"]["prompt_tokens"] == len(tiny.tokenizer()(prompt, add_special_tokens=False)["input_ids"])
    assert answer["usage"]["completion_tokens"] == 5


def test_a_project_says_itself_what_its_model_is(project: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    run(Settings(), project)
    card = project.card.read_text()
    assert "# Fine-tuned model" in card
    assert "## Limits" not in card
    assert "ocker" not in card.replace("docker start web", "").replace("docker stop", "").split("## Use it")[0]
    written = capsys.readouterr().out
    assert "report.limits is not set, so the model card names no limits; set it to" in written
    assert "report: 4/4 steps" in written
    run(Settings(limits="Knows nothing of cats."), project)
    assert "## Limits\n\nKnows nothing of cats.\n" in project.card.read_text()
    assert "report.limits" not in capsys.readouterr().out


@pytest.mark.parametrize("place", ["/home/me/models/smol", "/data/smol/", "~/models/smol", "C:\\models\\smol"])
def test_no_path_of_a_machine_stands_in_page_or_card(project: Paths, place: str) -> None:
    base = read_json(project.base / "base.json", "base")
    write_json(project.base / "base.json", {**base, "kind": "folder", "location": place})
    write_json(project.base / "settings.json", {"folder": place, "rope": {"files": [place]}})
    cleaned = read_json(project.ledger, "clean")
    write_json(project.ledger, {**cleaned, "settings": {"input": place, "note": "/think and /no_think"}})
    run(Settings(), project)
    for file in (project.card, project.page):
        text = file.read_text()
        assert place.rstrip("/") not in text
        assert ".../smol" in text
        assert "/think and /no_think" in text


@pytest.mark.parametrize(
    ("change", "lacks"),
    [([], False), (["generate.recipe=none", "clean.input=data/own"], True), (["clean.input=data/own"], True),
     (["clean.input=data/own", "report.limits=Knows nothing of cats."], False)],
)  # fmt: skip
def test_the_check_says_that_limits_are_missing(
    change: list[str], lacks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.params.model import change as set_to
    from flows.plan.preflight import notes
    from tasks.report.about import NO_LIMITS
    from tests.flows.project import ROOT

    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    set_to(change, verify=lambda path: None)
    assert (NO_LIMITS in notes()) == lacks


def test_the_seed_speaks_for_rows_of_its_own_only(project: Paths) -> None:
    ledger = read_json(project.generated / "ledger.json", "generate")
    write_json(project.generated / "ledger.json", {**ledger, "card": SEED})
    run(Settings(), project)
    assert "Docker" not in project.card.read_text(), "the rows came from elsewhere"
    cleaned = read_json(project.ledger, "clean")
    write_json(project.ledger, {**cleaned, "settings": {**cleaned["settings"], "input": "data/generated"}})
    run(Settings(), project)
    card = project.card.read_text()
    assert "# Docker assistant\n\nCommands.\n" in card
    assert "## Limits\n\nDocker only.\n" in card
    assert "| licence of the base | apache-2.0 |" in card, "trained from the same seed"
    base = read_json(project.base / "base.json", "base")
    write_json(project.base / "base.json", {**base, "kind": "folder", "location": "models/other"})
    run(Settings(title="Mine"), project)
    card = project.card.read_text()
    assert "# Mine\n\nCommands.\n" in card
    assert "| licence of the base | unknown |" in card
    assert "| licence of the data | apache-2.0 |" in card
