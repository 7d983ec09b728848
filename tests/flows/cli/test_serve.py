"""The lines of `temper serve` and `temper chat`: what is started for each, and what is refused before."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import serve
from flows.cli.main import main
from tests.flows.project import ROOT

SLOW = """
import sys, time

class Slow:
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow)
"""
"""A `sitecustomize` under which the import of one module takes a minute."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would have taken the place of this process."""
    words: list[tuple[str, ...]] = []
    monkeypatch.setattr("flows.plan.preflight.project", lambda: None)
    monkeypatch.setattr("flows.plan.unpulled.check_candidates", lambda names: words.append(("here?", *names)))
    monkeypatch.setattr("tasks.serve.models.models", lambda *_: [])
    monkeypatch.chdir(ROOT)

    def become(*line: str) -> int:
        words.append(line)
        return 0

    monkeypatch.setattr(serve, "_become", become)
    return words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("serve", "serve --host 127.0.0.1 --port 8000 --rows 8"),
        (
            "serve base french --port 0 --rows 3 --anyway",
            "serve base french --host 127.0.0.1 --port 0 --rows 3 --anyway",
        ),
        ("serve --system=", "serve --host 127.0.0.1 --port 8000 --rows 8 --system="),
        ("serve --check http://x/v1 merged", "check http://x/v1 merged --rows 8"),
        (
            "serve --check http://x/v1 merged --model m --key-variable KEY",
            "check http://x/v1 merged --rows 8 --model=m --key-variable=KEY",
        ),
        ("chat", "chat --temperature 0.0"),
        ("chat merged base --temperature 0.7 --system Hi", "chat merged base --temperature 0.7 --system=Hi"),
        ("chat --page", "serve merged base --port 0"),
        ("chat adapter --page", "serve adapter --port 0"),
    ],
)
def test_what_is_started(
    started: list[tuple[str, ...]],
    line: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.serve.listening.listen", lambda *_: socket.socket())  # 8000 may be taken here
    assert main(line.split()) == 0
    names = [word for word in words.split()[1:3] if word in ("merged", "base", "french", "adapter")] or ["merged"]
    asked = [] if "--check" in line else [("here?", *names)]
    assert started == [*asked, tuple(words.split())], "what was not pulled is named before seconds of silence"
    loading = f"Loading {', '.join(names)}, which takes some seconds.\n"
    assert capsys.readouterr().err == ("" if "--check" in line else loading), "before seconds of silence"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("serve --check http://x/v1", "name exactly one candidate, the one that is served there"),
        ("serve --check http://x/v1 a b", "name exactly one candidate, the one that is served there"),
        ("serve --model m", "--model and --key-variable need --check"),
    ],
)
def test_what_is_refused(
    started: list[tuple[str, ...]], line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 1
    assert sentence in capsys.readouterr().err
    assert not started


@pytest.mark.parametrize("command", ["serve", "chat --page"])
def test_a_model_that_is_not_there_is_refused_before_libraries_load(command: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("evaluate: {}\n")
    program = (
        "import sys\nfrom flows.plan import preflight, unpulled\npreflight.project = lambda: None\n"
        "unpulled.check_candidates = lambda names: None\n"
        "from flows.cli.main import main\n"
        f"print(main({command.split()}), 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 False\n"
    name = command.partition(" ")[0]
    sentence = "merged does not exist yet: run `temper run`; there is no model here yet."
    assert done.stderr == f"temper {name}: {sentence}\n"


def test_a_port_that_is_taken_is_refused_before_libraries_load(
    started: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    sentence = f"port {port} of 127.0.0.1 is in use; choose another one with --port."
    assert capsys.readouterr().err == f"temper serve: {sentence}\n"
    assert started == [("here?", "merged")]


def test_outside_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("serve", "chat"):
        assert main([command]) == 1
        assert capsys.readouterr().err.startswith(f"temper {command}: no dvc.yaml and no params.yaml here")


@pytest.mark.parametrize(
    ("program", "module"),
    [("temper", "flows.cli.check"), ("temper", "importlib.metadata"), ("tasks.serve", "tasks.core.fixed"),
     ("tasks.serve", "tasks.serve.gate"),
     pytest.param("tasks.serve", "tasks.serve.terminal", marks=pytest.mark.long)],  # with torch before it
)  # fmt: skip
def test_ctrl_c_while_libraries_load_ends_it_without_a_word(program: str, module: str, tmp_path: Path) -> None:
    """Killed by the signal, of which a shell makes 130."""
    (tmp_path / "sitecustomize.py").write_text(SLOW.format(module=module))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-P", "-m", program, "chat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
        assert process.stderr.read() == ""
