"""What becomes of steps that fail, hang or come too late; sizes by the card; and the table of what was measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import run, table
from benchmarks.gpu.project import Clock, StepFailed
from benchmarks.gpu.sizes import NARROW, SMALL, WIDE, size_for
from benchmarks.gpu.steps import Bench, Step, chosen

MACHINE = {
    "card": "NVIDIA H200", "memory": 141 * 2**30, "capability": "9.0", "cuda": "13.0, driver 590.1", "torch": "2.13.0",
    "transformers": "5.23.0", "trl": "1.16.0", "peft": "0.21.2", "bitsandbytes": "0.50.2",
    "size": {"width": 1024, "layers": 24, "batch": 8},
}  # fmt: skip


def attempt(action: Any, clock: Clock, tmp_path: Path, *needs: str) -> dict[str, Any]:
    line = run.attempt(Step("it", action, 5, needs), Bench(tmp_path, SMALL, clock, cpu=True), [])
    assert line.pop("seconds") < 5
    return line


def test_a_step_that_fails_leaves_its_reason(tmp_path: Path) -> None:
    def fails(bench: Bench) -> dict[str, Any]:
        raise StepFailed("tasks train: the card is full:\n 20 GiB of 24.")

    remark = "tasks train: the card is full: 20 GiB of 24."
    assert attempt(fails, Clock(60), tmp_path) == {"step": "it", "outcome": "fails", "remark": remark}


def test_a_step_that_needs_another_or_comes_too_late_is_left_out(tmp_path: Path) -> None:
    def never(bench: Bench) -> dict[str, Any]:
        raise AssertionError

    assert attempt(never, Clock(60), tmp_path, "lora")["remark"] == "needs lora"
    line = attempt(never, Clock(0), tmp_path)
    assert (line["outcome"], line["remark"]) == ("left out", "the time for all steps was over")


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    clock = Clock(60)
    clock.begin(0.2)
    with pytest.raises(StepFailed, match=r"timeit .* took more than 0 s"):
        clock.run(tmp_path, "timeit", "-s", "import time", "time.sleep(60)")
    with pytest.raises(StepFailed, match="no time was left for timeit"):
        clock.run(tmp_path, "timeit")


def test_a_process_that_fails_is_told_by_its_last_line(tmp_path: Path) -> None:
    clock = Clock(60)
    clock.begin(60)
    with pytest.raises(StepFailed, match=r"^timeit 1 \+: SyntaxError: invalid syntax$"):
        clock.run(tmp_path, "timeit", "1 +")


def test_what_a_step_needs_comes_with_it() -> None:
    assert [step.name for step in chosen(["quantize nf4"])] == ["models and rows", "lora", "merge", "quantize nf4"]


@pytest.mark.parametrize(("memory", "size"), [(None, SMALL), (8 * 2**30, NARROW), (24 * 2**30, WIDE)])
def test_the_model_is_as_large_as_the_card_allows(memory: int | None, size: Any) -> None:
    assert size_for(memory) == size


def test_without_a_card_it_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "measured", lambda *_, **__: {**MACHINE, "card": None, "memory": None})
    assert run.main(["--out", str(tmp_path / "gpu.md")]) == 1
    assert capsys.readouterr().err == (
        "benchmarks gpu: this machine has no card that PyTorch can use; run it where there is one, or with --cpu for "
        "the same steps in small.\n"
    )
    assert not list(tmp_path.iterdir())


def test_the_table_has_a_row_a_step_and_json_beside_it(tmp_path: Path) -> None:
    trained = {"outcome": "works", "seconds": 31.4, "tokens_a_second": 60_000, "taken": 3 * 2**30}
    lines: list[dict[str, Any]] = [
        {"step": "lora", **trained, "estimated": 3 * 2**30 + 3 * 2**28, "same_bytes": True, "different": []},
        {"step": "bare loop", "outcome": "works", "seconds": 12.0, "tokens_a_second": 48_000},
        {"step": "full", **trained, "same_bytes": False, "different": ["loss.csv", "model.safetensors"]},
        {"step": "dpo", "outcome": "fails", "seconds": 3.0, "remark": "a | b"},
    ]
    text = table.write(tmp_path / "gpu.md", MACHINE, lines)
    assert "NVIDIA H200, 141.0 GiB, compute capability 9.0, CUDA 13.0, driver 590.1." in text
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert rows == [
        "| lora | works | 31 | 60,000 | 1.25 | 3.00 GiB | 3.75 GiB | +25% | yes |  |",
        "| bare loop | works | 12 | 48,000 |  |  |  |  |  |  |",
        "| full | works | 31 | 60,000 |  | 3.00 GiB |  |  | no: loss.csv, model.safetensors |  |",
        r"| dpo | fails | 3 |  |  |  |  |  |  | a \| b |",
    ]
    assert (tmp_path / "gpu.md").read_text() == text
    assert json.loads((tmp_path / "gpu.json").read_text()) == {"machine": MACHINE, "steps": lines}
