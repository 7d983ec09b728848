"""Each recipe against a real server with a real model: `transformers serve` with stories260K, and the model in process.

A model of 260,000 parameters that tells stories follows no instruction; that the stage ends well, with every row
accounted for, is what is tried here.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.generate.stage import run
from tests.tasks.generating import ledger, lines, outputs, project, settings
from tests.tasks.stories import SHARED, needed, serving, stories

pytestmark = needed


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stories(tmp_path_factory.mktemp("model") / "stories")


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[str]:
    with serving(model) as address:
        yield address


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["magpie", "instructions", "documents", "dialogues", "preferences"])
def test_a_recipe_on_a_real_server(recipe: str, served: str, model: Path, tmp_path: Path) -> None:
    paths = project(tmp_path)
    magpie = {"magpie": {"opening": "Once upon a time,"}} if recipe == "magpie" else {}
    teacher: dict[str, Any] = {"model": str(model), "max_new_tokens": 40, "concurrency": 2}
    chosen = settings(recipe, served, rows=4, teacher=teacher, **magpie)
    run(chosen, paths)
    counts = ledger(paths)
    assert counts["in"] == {"documents": 9}.get(recipe, 4)
    recorded = lines(paths.responses)
    assert counts["requests"] == len(recorded) >= 1
    assert counts["output_tokens"] == sum(line["response"]["output_tokens"] for line in recorded) > 0
    assert {line["response"]["finish_reason"] for line in recorded} <= {"stop", "length"}
    keys = {line["key"] for line in recorded}
    for row in [*lines(paths.generated / "rows.jsonl"), *lines(paths.generated / "left_out.jsonl")]:
        assert keys >= set(row["provenance"]["prompts"]) > set()
    before = outputs(paths)
    run(settings(recipe, "http://127.0.0.1:9/v1", rows=4, teacher=teacher, **magpie), paths)
    assert outputs(paths)["responses.jsonl"] == before["responses.jsonl"]
    assert outputs(paths)["left_out.jsonl"] == before["left_out.jsonl"]


@pytest.mark.long
def test_a_model_in_process_answers_the_same_whatever_else_is_asked(model: Path, tmp_path: Path) -> None:
    teacher = {"kind": "local", "base_url": None, "model": str(model), "max_new_tokens": 30}
    attempts = []
    for rows in (2, 3):
        paths = project(tmp_path / str(rows))
        run(settings("magpie", "", rows=rows, teacher=teacher, magpie={"opening": None}), paths)
        attempts.append({line["key"]: line for line in lines(paths.responses)})
        assert ledger(paths)["requests"] == len(attempts[-1])
    assert attempts[0].items() <= attempts[1].items()
    assert all(line["request"]["model"].startswith("stories@") for line in attempts[1].values())


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not (SHARED.parents[1] / "documents").is_dir(), reason="../shared/data is missing")
def test_197_pages_through_a_real_model(served: str, model: Path, tmp_path: Path) -> None:
    paths = project(tmp_path)
    shutil.rmtree(paths.data / "documents")
    shutil.copytree(SHARED.parents[1] / "documents" / "docker-cli-docs", paths.data / "documents")
    # What takes time is the server: every answer is a step of the model a token, and every prompt is read first.
    teacher = {"model": str(model), "max_new_tokens": 8, "concurrency": 2}
    run(settings("documents", served, documents={"chunk": 2000, "questions": 3}, teacher=teacher), paths)
    counts, recorded = ledger(paths), lines(paths.responses)
    rows = [*lines(paths.generated / "rows.jsonl"), *lines(paths.generated / "left_out.jsonl")]
    assert len({row["document"] for row in rows}) == 197
    assert counts["in"] == len(rows) == 3 * len(recorded) > 2000
    assert counts["requests"] == len(recorded)
    assert counts["output_tokens"] == sum(line["response"]["output_tokens"] for line in recorded)
    asked = {line["key"]: line["request"]["content"][0]["content"] for line in recorded}
    for row in rows:
        source, (key,) = row["provenance"]["source"], row["provenance"]["prompts"]
        text = (paths.data / "documents" / source["document"]).read_text().split("\n")
        passage, (first, last) = asked[key].split("Passage:\n", 1)[1].split("\n"), source["lines"]
        assert len(passage) == last - first + 1
        assert passage[0].strip() in text[first - 1]
        assert passage[-1].strip() in text[last - 1]
