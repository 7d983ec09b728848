"""A candidate behind an endpoint: asked by the protocol, scored like all others, and no stale answer from it."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.core.errors import InputError, MachineError, SettingsError
from tasks.core.paths import Paths
from tasks.evaluate.settings import Settings
from tasks.evaluate.stage import run
from tests.tasks import tiny
from tests.tasks.teacher_server import Asked, Reply, Script, teacher_server

pytest.importorskip("torch")

CHATS = tiny.conversations()[24:]
RIGHT = {chat[0]["content"]: chat[1]["content"] for chat in CHATS}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.clean.mkdir(parents=True)
    pq.write_table(tiny.rows("test", CHATS), paths.clean / "test.parquet")
    return paths


def evaluated(paths: Paths, script: Script, **more: Any) -> tuple[dict[str, Any], list[Asked]]:
    with teacher_server(script) as server:
        teacher = {"kind": "openai", "base_url": server.base_url, "model": "big", "max_retries": 0, "concurrency": 1}
        run(Settings.model_validate({"hosted": {"big": {"server": teacher}}, **more}), paths, "big")
        return tiny.read(paths.evaluation("big") / "scores.json"), server.asked


def test_every_row_is_asked_and_scored(paths: Paths) -> None:
    def script(request: Asked) -> Reply | str:
        if request.text.endswith(CHATS[0][0]["content"].split()[-1]):
            return Reply("docker run and", finish_reason="length")
        return RIGHT[request.text]

    scores, requests = evaluated(paths, script)
    assert (scores["kind"], scores["cut"], scores["no_answer"]) == ("other", 1, 0)
    assert scores["metrics"]["exact_match"]["value"] == round(7 / 8, 4)
    assert {part["exact_match"]["n"] for part in scores["slices"]["slice"].values()} == {4}
    assert [one.body["messages"] for one in requests] == [chat[:1] for chat in CHATS]
    assert requests[0].body["temperature"] == 0.0
    rows = pq.read_table(paths.evaluation("big") / "predictions.parquet").to_pylist()
    assert rows[1]["prompt"] == f"user: {CHATS[1][0]['content']}"
    again, more = evaluated(paths, script)
    assert (again, len(more)) == (scores, 8), "what stands behind a name may have changed: nothing is taken from before"


def test_a_row_without_an_answer_counts_as_wrong_and_is_counted(paths: Paths) -> None:
    scores, _ = evaluated(paths, lambda request: 400 if request.number == 2 else RIGHT[request.text])
    assert scores["no_answer"] == 1
    assert scores["metrics"]["exact_match"]["value"] == 0.875


def test_a_server_that_goes_away_is_one_sentence_and_the_rest_is_asked_later(paths: Paths) -> None:
    with teacher_server(lambda request: RIGHT[request.text]) as server:
        server.script = lambda request: RIGHT[request.text] if request.number < 5 else 401
        teacher = {"kind": "openai", "base_url": server.base_url, "model": "big", "max_retries": 0, "concurrency": 1}
        settings = Settings.model_validate({"hosted": {"big": {"server": teacher}}})
        with pytest.raises(InputError, match=r"evaluate\.hosted\.big: .* rejects .*fix this and run again"):
            run(settings, paths, "big")
        assert not paths.evaluation("big").exists()
        server.script = lambda request: RIGHT[request.text]
        before = len(server.asked)
        run(settings, paths, "big")
        assert len(server.asked) - before == 3
    with pytest.raises(MachineError, match="cannot be reached"):
        run(settings, paths, "big")


def test_what_an_endpoint_cannot_be_asked(paths: Paths) -> None:
    with pytest.raises(SettingsError, match="returns no likelihoods, so perplexity cannot be computed"):
        evaluated(paths, lambda request: "", metrics=[{"kind": "exact_match"}, {"kind": "perplexity"}])
    with pytest.raises(SettingsError, match="big is an endpoint, on which benchmarks cannot run"):
        evaluated(paths, lambda request: "", benchmarks=[{"task": "arc_easy"}], benchmarked=["big"])
    wrong: list[dict[str, Any]] = [{}, {"hub": f"a/b@{'0' * 40}", "server": {"kind": "local", "model": "m"}}]
    for hosted in [*wrong, {"server": {}}]:
        with pytest.raises(ValidationError, match=r"hub or server|kind must be openai"):
            Settings.model_validate({"hosted": {"big": hosted}})
