"""Logits of rows, and how far they are while they are computed."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks.models.equivalence import logits


class Model:
    """Gives each token its own number as its logit."""

    device = torch.device("cpu")

    def eval(self) -> None: ...

    def __call__(self, input_ids: torch.Tensor) -> Any:
        return SimpleNamespace(logits=input_ids[..., None].double())


def test_each_row_is_told_where_somebody_wants_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[1, 2], [3], [4, 5, 6]]
    assert [one[:, 0].tolist() for one in logits(Model(), rows)] == rows
    assert capsys.readouterr().out == ""
    assert [one[:, 0].tolist() for one in logits(Model(), rows, "merge: logits")] == rows
    assert capsys.readouterr().out.splitlines()[-1] == "merge: logits: 3/3 rows"
