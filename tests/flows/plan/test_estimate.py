"""What a run is said to take before it runs."""

from pathlib import Path

import pytest

from flows.params.model import change, model
from flows.plan import estimate
from tasks.core.paths import Paths
from tasks.core.settings import load
from tasks.training.rows import load as rows_of
from tests.flows.project import ROOT
from tests.tasks import tiny


def test_what_a_teacher_is_asked_about_the_rows_is_priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    base = tiny.model(tmp_path / "model", vocabulary=320)
    teacher = "{kind: openai, base_url: 'http://127.0.0.1:1/v1', model: t, input_price: 2.0, output_price: 7.0}"
    change(
        [f"base.folder={base.name}", "distill.splits=[train]", f"distill.teacher={teacher}"], path=Path("params.yaml")
    )
    paths, coder = Paths(), tiny.tokenizer()
    tiny.templated(paths.tokens("train"), coder, tiny.rows("train", tiny.conversations()[:4]))
    sent = sum(
        len(coder(coder.apply_chat_template(chat, tokenize=False))["input_ids"]) for chat in tiny.conversations()[:4]
    )
    lines, _ = estimate.lines()
    (line,) = (line for line in lines if line.startswith("distill"))
    assert line.startswith(f"distill train: {sent + 4:,} tokens of 4 rows for the teacher, ")
    assert f"{(sent * 2 + 4 * 7) / 1e6:.4g}"[:4] in line
    assert load(model(), Path("params.yaml")).distill.splits == ["train"]
    change(["distill.form=next_token"], path=Path("params.yaml"))
    # Every token of these rows is labelled; nothing predicts the first.
    places = [at for row in rows_of(paths.tokens("train")) for at in range(1, len(row["labels"]))]
    lines, _ = estimate.lines()
    (line,) = (line for line in lines if line.startswith("distill"))
    assert line.startswith(f"distill train: {sum(places) + len(places):,} tokens of 4 rows for the teacher, ")
