"""What `temper run` says at its end."""

from pathlib import Path

import pytest

from flows.cli.run import rate
from flows.params.model import change
from tests.flows.project import ROOT


def test_the_rate_to_try_next_is_that_of_the_stage_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert rate() == "train.learning_rate"
    change(["train.enabled=false", "align.objective=dpo", "align.start=base"], path=Path("params.yaml"))
    assert rate() == "align.learning_rate"
