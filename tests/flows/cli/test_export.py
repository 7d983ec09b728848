"""`temper export`: a format becomes a setting and a stage, as `temper run` would have them."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from flows.cli import run
from flows.cli.main import main
from flows.params.model import change
from tasks.core.errors import SettingsError
from tests.flows.project import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    change(["quantize.schemes=[nf4]"])
    return tmp_path


def test_formats_are_added_to_the_settings_and_their_stages_run(project: Path) -> None:
    assert run.exports(["ollama", "gguf-q4_k_m", "nf4"]) == (
        ["export.formats=[ollama]", "quantize.schemes=[nf4, gguf-q4_k_m]"],
        ["export@ollama", "quantize@gguf-q4_k_m", "quantize@nf4"],
        {
            "ollama": Path("data/exported/ollama"),
            "gguf-q4_k_m": Path("data/quantized/gguf-q4_k_m"),
            "nf4": Path("data/quantized/nf4"),
        },
    )
    change(["export.formats=[ollama]"])
    assert run.exports(["ollama"])[0] == []
    with pytest.raises(SettingsError, match="there is no format olama; did you mean 'ollama'"):
        run.exports(["olama"])
    with pytest.raises(SettingsError, match=r"^gguf needs a type; known: gguf-.*gguf-q4_k_m"):
        run.exports(["gguf"])


def test_the_command_is_a_run_of_these_stages(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[dict[str, Any]] = []

    def execute(options: argparse.Namespace) -> int:
        runs.append(vars(options))
        for scheme, file in (("gguf-q4_k_m", "model-q4_k_m.gguf"), ("nf4", "model.safetensors")):
            Path("data/quantized", scheme).mkdir(parents=True)
            Path("data/quantized", scheme, file).touch()
        return 0

    monkeypatch.setattr("flows.plan.preflight.project", lambda: None)
    monkeypatch.setattr(run, "execute", execute)
    assert main(["export", "ollama", "gguf-q4_k_m", "nf4"]) == 0
    expected = vars(main_options(
        "run", "--set", "export.formats=[ollama]", "--set", "quantize.schemes=[nf4, gguf-q4_k_m]",
        "export@ollama", "quantize@gguf-q4_k_m", "quantize@nf4",
    ))  # fmt: skip
    expected["suggests"] = False  # of a run; what to do with each format stands below it
    assert runs == [{key: expected[key] for key in runs[0]}] and {*runs[0]} >= {*expected} - {"act", "command", "reads"}
    assert capsys.readouterr().out.splitlines() == [
        "ollama: data/exported/ollama   (ollama create NAME -f data/exported/ollama/Modelfile)",
        "gguf-q4_k_m: data/quantized/gguf-q4_k_m   (llama-server --model data/quantized/gguf-q4_k_m/model-q4_k_m.gguf "
        "--jinja --temp 0; to pass the model on, this file is enough)",
        "nf4: data/quantized/nf4   (transformers loads it as it loads the model itself; to pass the model on, "
        "the folder is enough)",
    ]


def main_options(*words: str) -> argparse.Namespace:
    from flows.cli.main import _parser

    return _parser().parse_args(list(words))
