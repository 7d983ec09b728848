"""Rows that stay are not templated again, and the stage writes the bytes that it writes from nothing."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.chat.renderer import PROBE_DIALOGUE, Renderer
from tasks.clean.write import OPTIONAL, ROWS
from tasks.core.paths import Paths
from tasks.engine.chosen import Local
from tasks.template import kept
from tasks.template import stage as template
from tasks.template.kept_markups import from_bytes, to_bytes
from tasks.template.markers import Marked
from tasks.template.markup import Markup
from tasks.template.markup_search import shared_markup
from tasks.template.outcome import Outcome
from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tasks.template.stream import MOST, stream
from tests.tasks import tiny
from tests.tasks.template.test_template import DIALOGUE, pair, row

SCHEMA = pa.schema([*ROWS, *OPTIONAL])


def chat(number: int) -> dict[str, Any]:
    turns = [*DIALOGUE[1:3], {"role": "user", "content": f"and {number}"}, DIALOGUE[4]]
    return row(turns, id=f"{number:016x}", source="chats.jsonl", split="train")


def written(paths: Paths, rows: list[dict[str, Any]], settings: Settings) -> dict[str, bytes]:
    """What the stage makes of these rows, by file."""
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), paths.clean / "train.parquet")
    template.run(settings, paths)
    return {
        str(path.relative_to(paths.templated)): path.read_bytes()
        for path in sorted(paths.templated.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the rows that were worked on."""
    names: list[str] = []
    outcomes = Templater.outcomes

    def noting(self: Templater, rows: Any) -> list[Outcome]:
        names.extend(one["id"] for one in rows)
        return outcomes(self, rows)

    monkeypatch.setattr(Templater, "outcomes", noting)
    monkeypatch.setattr("tasks.engine.local.cores", lambda: 1)
    return names


def test_only_the_parts_with_new_rows_are_worked_on(tmp_path: Path, worked: list[str]) -> None:
    paths, fresh = tiny.project(tmp_path / "kept", method="none"), tiny.project(tmp_path / "fresh", method="none")
    (tmp_path / "kept" / ".dvc").mkdir()
    first = [chat(number) for number in range(200)]
    before = written(paths, first, Settings())
    assert len(worked) == 200 + 4
    del worked[:]
    again = written(paths, first, Settings())
    assert again == before
    assert not worked
    new = [chat(number) for number in range(1000, 1003)]
    more = [new[0], *first[:100], new[1], *first[100:], new[2]]
    incremental = written(paths, more, Settings())
    assert {one["id"] for one in new} < set(worked) and len(worked) < 120
    from_nothing = written(fresh, more, Settings())
    assert incremental == from_nothing
    assert incremental != before


def test_a_second_run_of_rows_built_alike_looks_for_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    markups: list[Markup] = []

    def noting(renderer: Renderer, marked: Marked, *rest: Any) -> Markup:
        markup = shared_markup(renderer, marked, *rest)
        if PROBE_DIALOGUE[0]["content"] not in marked.texts:
            markups.append(markup)
        return markup

    monkeypatch.setattr("tasks.template.dialogue.shared_markup", noting)
    monkeypatch.setattr("tasks.engine.local.cores", lambda: 1)
    paths, fresh = tiny.project(tmp_path / "kept", method="none"), tiny.project(tmp_path / "fresh", method="none")
    (tmp_path / "kept" / ".dvc").mkdir()
    written(paths, [chat(number) for number in range(20)], Settings())
    assert markups
    assert all(from_bytes(to_bytes(one)) == one for one in markups)
    del markups[:]
    others = [chat(number) for number in range(100, 120)]
    again = written(paths, others, Settings(train_on="last"))
    assert not markups
    assert written(fresh, others, Settings(train_on="last")) == again
    assert markups


def test_a_part_has_a_name_by_what_outcomes_depend_on(tmp_path: Path) -> None:
    paths = tiny.project(tmp_path, method="none")
    (tmp_path / ".dvc").mkdir()

    def name(settings: Settings, limit: int = 100, stops: tuple[int, ...] = (1,), template_end: str = "") -> str:
        coder = tiny.tokenizer()
        coder.chat_template += template_end
        return kept.parts_of(paths, Templater(coder, settings, set(stops), limit, None)).key(b"rows")

    plain = name(Settings())
    assert name(Settings(max_loss=0.5, max_answer_loss=0.5, packing=True, preview_rows=1)) == plain
    others = [
        name(Settings(train_on="last")),
        name(Settings(turns="apart")),
        name(Settings(over_length="drop")),
        name(Settings(), limit=99),
        name(Settings(), stops=(1, 2)),
        name(Settings(), template_end="\n"),
    ]
    (paths.base / "model" / "tokenizer_config.json").write_text("{}")
    tiny.record(paths, paths.base / "model", "trained", "model")
    assert len({plain, *others, name(Settings())}) == len(others) + 2


def test_a_damaged_part_is_made_again(tmp_path: Path, worked: list[str]) -> None:
    paths = tiny.project(tmp_path, method="none")
    (tmp_path / ".dvc").mkdir()
    rows = [chat(number) for number in range(40)]
    before = written(paths, rows, Settings())
    for path in paths.parts.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-3])
    del worked[:]
    assert written(paths, rows, Settings()) == before
    assert len(worked) == 40 + 4


def test_outcomes_come_back_as_they_were() -> None:
    coder = tiny.tokenizer()
    templater = Templater(coder, Settings(over_length="split", turns="apart"), {coder.eos_token_id}, 60, len(coder))
    rows = [
        row(DIALOGUE, id="long", order=2.5),
        row([{**DIALOGUE[1], "name": "bo"}, {**DIALOGUE[2], "weight": 0}], id="untrained", order="b"),
        row([DIALOGUE[1], {"role": "assistant", "content": " <think>x"}], id="odd"),
        {"id": "text", "text": "docker ps " * 40},
        pair("stop web", "docker stop web", "docker stop"),
        {**pair("a", "b", "c"), "chosen": None, "completion": pair("a", "b", "c")["chosen"], "label": True},
    ]
    outcomes = templater.outcomes(rows)
    again = kept.from_bytes(kept.to_bytes(outcomes))
    for one, other in zip(outcomes, again, strict=True):
        assert {**vars(one), "sequences": None} == {**vars(other), "sequences": None}
        assert list(one.notes) == list(other.notes)
        for part, same in zip(one.sequences, other.sequences, strict=True):
            assert (part.runs, part.problems, part.lost) == (same.runs, same.problems, same.lost)
            assert part.tokens.dtype == same.tokens.dtype and np.array_equal(part.tokens, same.tokens)
    assert {outcome.kind for outcome in again} == {"sequence", "preference", "judged"}
    assert any(len(outcome.sequences) > 2 for outcome in again) and any(outcome.reason for outcome in again)


def test_a_refusal_of_the_template_is_not_kept(tmp_path: Path, worked: list[str]) -> None:
    """It may be a limit of time, which another run on a quiet machine keeps."""
    paths = tiny.project(tmp_path, method="none")
    (tmp_path / ".dvc").mkdir()
    rows = [{**chat(0), "tools": "no list"}]
    for _ in range(2):
        written(paths, [*rows, chat(1)], Settings(max_loss=0.5))
    assert worked.count(rows[0]["id"]) == 2


@pytest.mark.parametrize(("rows", "processes"), [(1000, 1), (1500, 2)])
def test_few_rows_are_worked_on_by_one_process(rows: int, processes: int) -> None:
    def work(part: list[dict[str, Any]]) -> list[Any]:
        return [os.getpid() == here for _ in part]

    here = os.getpid()
    outcomes = list(stream(work, [[{"id": str(number)} for number in range(rows)]], Local(2)))
    assert any(not own for batch in outcomes for own in batch) == (processes > 1)


@pytest.mark.parametrize("sizes", [[], [0, 3], [70, 1, 0, 200]])
def test_outcomes_come_in_the_batches_of_their_rows(sizes: list[int]) -> None:
    rows = iter(range(sum(sizes)))
    batches = [[{"id": str(next(rows))} for _ in range(size)] for size in sizes]
    parts: list[int] = []

    def work(part: list[dict[str, Any]]) -> list[Any]:
        parts.append(len(part))
        return [json.loads(one["id"]) for one in part]

    outcomes = list(stream(work, batches, Local(1)))
    assert [number for batch in outcomes for number in batch] == list(range(sum(sizes)))  # type: ignore[comparison-overlap]
    assert [len(batch) for batch in outcomes if batch] == [size for size in sizes if size]
    assert max(parts, default=0) <= MOST
