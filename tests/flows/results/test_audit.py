"""The audit in Prefect's pages: rows as the stage `template` shows them, with what is trained between brackets."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flows.results.artifacts import _audit
from tasks.core.paths import PATHS
from tasks.template.outcome import Outcome
from tasks.template.preview import Preview
from tasks.template.sequence import Sequence


def test_rows_stand_there_with_their_trained_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["<user>", " a & b\n", "<b>", " yes"]
    tokenizer = SimpleNamespace(decode=lambda ids, **_: "".join(words[number] for number in ids))
    preview = Preview(tokenizer, rows=2)
    for name in ("one", "two", "three"):
        preview.add(Outcome(name, sequences=[Sequence(np.arange(4, dtype=np.int32), ((2, 4),))]))
    PATHS.preview.parent.mkdir(parents=True)
    PATHS.preview.write_text(preview.page())
    split = {"trained": {"rows": 1, "tokens": 4, "supervised_tokens": 2}, "lengths": {}, "findings": []}
    PATHS.audit.write_text(
        json.dumps({"max_length": {"tokens": 9, "source": "set"}, "made_right": {}, "splits": {"train": split}})
    )
    text = _audit()
    for name in ("one", "two"):
        assert f"```\n{name}: 2 of 4 tokens trained\n<user> a & b\n⟦<b> yes⟧\n```" in text
    assert "three" not in text
