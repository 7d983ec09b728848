"""The estimate beside what PyTorch allocates in a training: the short form of the table in docs/memory.md."""

import json
import sys

import pytest

pytest.importorskip("torch")

from benchmarks import estimated
from tasks.training import memory_estimate


@pytest.mark.parametrize(
    ("method", "form", "more"),
    [
        pytest.param("lora", "packs", ["checkpointed"], marks=pytest.mark.long),
        pytest.param("full", "rows", [], marks=pytest.mark.long),
        pytest.param("lora", "rows", [], marks=pytest.mark.long),
        ("qlora", "packs", []),
    ],
)
def test_within_15_percent_of_what_is_allocated(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], method: str, form: str, more: list[str]
) -> None:
    monkeypatch.setattr(memory_estimate, "measure_pass", memory_estimate.measure_pass)  # main puts another in its place
    monkeypatch.setattr(sys, "argv", ["estimated", method, form, "256", "2", "256", "6", *more])
    estimated.main()
    numbers = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert numbers["estimated"] == pytest.approx(numbers["taken"], rel=0.15)
