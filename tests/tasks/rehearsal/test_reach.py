"""What a check says of the number of test rows, against sums over all outcomes."""

import json
import re
from math import comb
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.paths import Paths
from tasks.decide.settings import Settings as Rules
from tasks.evaluate.settings import Settings
from tasks.rehearsal import rows
from tasks.rehearsal.reach import sentence
from tasks.stages import names, needed
from tests.tasks import tiny


def power(n: int, difference: float) -> float:
    """How often a model that wins so large a share of `n` rows, and loses none, wins the six at least of which the
    two-sided p is below 0.05: 2 * 0.5**6 = 0.03125."""
    return sum(comb(n, k) * difference**k * (1 - difference) ** (n - k) for k in range(6, n + 1))


def said(folder: Path, count: int, kind: str = "exact_match", *, quantised: bool = True, **rules: Any) -> str:
    paths = Paths(folder)
    paths.rows("test").parent.mkdir(parents=True, exist_ok=True)
    chats = [
        [{"role": "user", "content": f"{number}"}, {"role": "assistant", "content": "a"}] for number in range(count)
    ]
    pq.write_table(tiny.rows("test", chats), paths.rows("test"))
    settings = Settings.model_validate({"metrics": [{"kind": kind}], "limit": 200})
    return sentence(paths, settings, Rules(**rules), quantised=quantised)


@pytest.mark.parametrize("count", [7, 40])
def test_the_difference_that_few_rows_show(tmp_path: Path, count: int) -> None:
    text = said(tmp_path, count)
    least = float(re.findall(r"difference below ([\d.]+) in exact match cannot be told from chance", text)[0])
    assert power(count, least - 0.006) < 0.8 < power(count, least + 0.006)
    assert text.startswith(f"decide: {count} test rows: ") and "decide.quantised_loss = 0.05 is smaller" in text
    needs = int(re.findall(r"0\.05 takes (\d+) test rows", text)[0])
    assert power(needs - 1, 0.05) < 0.8 <= power(needs, 0.05)


def test_enough_rows_are_told_without_a_warning(tmp_path: Path) -> None:
    text = said(tmp_path, 240)
    assert text.startswith("decide: 200 test rows: a difference below 0.0"), "evaluate.limit asks no more"
    assert text.endswith(" in exact match cannot be told from chance.")
    assert "smaller" not in said(tmp_path, 40, quantised=False), "nothing is quantised, and any gain is wanted"
    assert "decide.gain = 0.1 is smaller" in said(tmp_path, 40, quantised=False, gain=0.1)
    assert "in accuracy" in said(tmp_path, 40, "classification")


def test_rows_that_show_nothing_or_what_nobody_knows_yet(tmp_path: Path) -> None:
    assert said(tmp_path, 5).startswith("decide: 5 test rows: too few to tell any difference from chance; it takes 6 ")
    assert said(tmp_path, 40, "rougeL").startswith("decide: 40 test rows. The decision says what difference they can")
    assert said(tmp_path, 0) == ""


def test_the_check_says_it_of_all_rows_and_of_a_test_file_that_was_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rows, "FEWEST", 20)
    monkeypatch.setattr(rows, "ROWS", 20)
    row = '{{"question": "start {0}", "answer": "docker start {0}"}}\n'
    values: dict[str, Any] = {name: {} for name in names()}
    values |= {
        "clean": {"input": "own", "splits": {"test": ["test.jsonl"], "train": ["train.jsonl"]}},
        "evaluate": {"metrics": [{"kind": "f1"}]},
    }
    Path("params.yaml").write_text(json.dumps(values))
    Path("own").mkdir()
    for name, count in (("train", 60), ("test", 7)):
        Path("own", f"{name}.jsonl").write_text("".join(row.format(f"{name}{number}") for number in range(count)))
    _, remarks = rows.look(needed(["decide"]), Paths())
    assert any(remark.startswith("decide: 7 test rows. ") for remark in remarks), remarks
