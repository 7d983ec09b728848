"""A candidate and a judge behind a real server with a real model: `transformers serve` with stories260K.

It tells stories and judges nothing; that it is asked what the same model is asked here, and that a judge without a
verdict loses nothing, is what is tried.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate import stage as evaluate
from tasks.judge import stage as judge
from tests.tasks import tiny
from tests.tasks.stories import needed, serving, stories

pytest.importorskip("torch")
pytestmark = [needed, pytest.mark.long]

GONE = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("served"))
    paths.clean.mkdir(parents=True)
    stories(paths.root / "stories")
    pq.write_table(tiny.rows("test", tiny.conversations()[24:]), paths.clean / "test.parquet")
    return paths


@pytest.fixture(scope="module")
def served(paths: Paths) -> Iterator[str]:
    with serving((paths.root / "stories").resolve()) as address:
        yield address


def teacher(paths: Paths, address: str, most: int) -> dict[str, Any]:
    model = str((paths.root / "stories").resolve())
    return {"kind": "openai", "base_url": address, "model": model, "max_new_tokens": most, "max_retries": 0}


def predictions(paths: Paths, candidate: str) -> list[tuple[str, str]]:
    rows = pq.read_table(paths.evaluation(candidate) / "predictions.parquet").to_pylist()
    return [(row["output"], row["finish"]) for row in rows]


def test_a_candidate_behind_a_server_says_what_the_same_model_says_here(served: str, paths: Paths) -> None:
    hosted = {name: {"server": teacher(paths, served, most)} for name, most in (("there", 16), ("short", 4))}
    settings = evaluate.Settings.model_validate(
        {"models": {"here": "stories"}, "hosted": hosted, "max_new_tokens": 16, "batch_size": 3}
    )
    for candidate in ("here", "there", "short"):
        evaluate.run(settings, paths, candidate)
    here, there, short = (predictions(paths, candidate) for candidate in ("here", "there", "short"))
    assert there == here
    assert {end for _, end in here} == {"length"} and all(text.strip() for text, _ in here)
    assert all(whole.startswith(cut) and whole != cut for (whole, _), (cut, _) in zip(there, short, strict=True))


def test_a_judge_that_tells_stories(served: str, paths: Paths) -> None:
    for name, right in (("merged", 6), ("base", 1)):
        chats = tiny.conversations()[24:]
        outputs = [chat[-1]["content"] if at < right else f"{name} {at}" for at, chat in enumerate(chats)]
        tiny.evaluation(paths, name, {"exact_match": [float(at < right) for at in range(len(chats))]}, outputs)
    table = pq.read_table(paths.clean / "test.parquet")
    ids = pq.read_table(paths.evaluation("base") / "predictions.parquet")["id"]
    pq.write_table(table.set_column(0, "id", ids), paths.clean / "test.parquet")
    settings = {"candidates": ["merged"], "teacher": teacher(paths, served, 8), "reference": False}
    with pytest.raises(InputError, match=r"judge: 7 of 8 rows have no clear verdict"):
        judge.run(judge.Settings.model_validate(settings), paths, "merged")
    assert not paths.judged("merged").exists()
    kept = paths.judgements("merged").read_bytes()
    assert kept.count(b"\n") == 14, "seven pairs in both orders; of the eighth both answers are the same"
    settings |= {"teacher": teacher(paths, GONE, 8), "max_unclear": 1.0}
    judge.run(judge.Settings.model_validate(settings), paths, "merged")
    verdicts = tiny.read(paths.judged("merged") / "judged.json")
    assert (verdicts["unclear"], verdicts["ties"], verdicts["same_answers"]) == (7, 1, 1)
    assert paths.judgements("merged").read_bytes() == kept
