"""A model folder as teacher and as judge on two nodes: the same bytes as in one process, whatever becomes of a node."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import Unavailable
from tasks.core.paths import Paths
from tasks.engine import cluster
from tasks.engine.cluster import Cluster
from tasks.generate import stage as generate
from tasks.judge import stage as judge
from tasks.teacher.cached_client import ask_all
from tasks.teacher.nodes import Nodes
from tasks.teacher.response_store import ResponseStore
from tasks.teacher.settings import Budget, Teacher
from tests.flows.project import until
from tests.tasks import generating, tiny

pytestmark = pytest.mark.long

pytest.importorskip("ray")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tokenizer = tiny.tokenizer()
    folder = tiny.model(tmp_path / "small", vocabulary=len(tokenizer), max_position_embeddings=2048)
    tokenizer.save_pretrained(folder)
    return folder


def teacher(model: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "local", "model": str(model), "max_new_tokens": 24, "temperature": 0.7, "threads": 1, **more}


def asked(store: Path, model: Path, contents: list[Any], where: Nodes | None, budget: Budget) -> dict[str, Any]:
    """The record, and what the run spent, after all was asked."""
    kept = ResponseStore(store / "record.sqlite")
    settings = Teacher.model_validate(teacher(model, input_price=1, output_price=3))
    responses = ask_all(settings, contents, kept, "run", budget=budget, report=lambda done: None, where=where)
    kept.save(store / "record.jsonl")
    totals = kept.totals("run")
    kept.close()
    return {"responses": responses, "record": (store / "record.jsonl").read_bytes(), "totals": totals}


@pytest.fixture
def where(engine: Cluster, nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Nodes:
    """The nodes, by the one connection of this process, which counts what it sends."""
    monkeypatch.setattr(cluster, "connected", lambda address, paths: nullcontext(engine))
    return Nodes(nodes.address, tmp_path)


@pytest.mark.parametrize("budget", [Budget(), Budget(max_tokens=900), Budget(max_cost=0.0015)])
def test_a_record_and_what_it_cost_are_those_of_one_process(
    engine: Cluster, where: Nodes, model: Path, tmp_path: Path, budget: Budget
) -> None:
    """Questions of uneven length: where the budget ends, a short one is not answered in the place of a long one."""
    contents = [f"{number} " * (1 + 37 * number % 11) for number in range(40)]
    alone = asked(tmp_path / "alone", model, contents, None, budget)
    counted = engine.items
    spread = asked(tmp_path / "spread", model, contents, where, budget)
    assert spread == alone
    answered = [response for response in alone["responses"] if response.failed is None]
    assert len(answered) == alone["totals"].requests
    assert (len(answered) == 40) == (budget == Budget())
    assert len(answered) <= engine.items - counted <= 40, "nothing is computed twice; of what has no room, some is"
    assert len(answered) > 5


def test_the_judge_says_the_same(same: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    tiny.evaluation(paths, "merged", {"exact_match": [1.0] * 8}, [f"one {number}" for number in range(8)])
    tiny.evaluation(paths, "base", {"exact_match": [0.0] * 8}, [f"two {number}" for number in range(8)])
    table = tiny.rows("test", tiny.conversations()[24:])
    paths.clean.mkdir(parents=True)
    pq.write_table(table.set_column(0, "id", [[f"row{number}" for number in range(8)]]), paths.clean / "test.parquet")
    settings = judge.Settings.model_validate({"candidates": ["merged"], "teacher": teacher(model), "max_unclear": 1})

    def made() -> dict[str, bytes]:
        paths.judgements("merged").unlink(missing_ok=True)
        judge.run(settings, paths, "merged")
        return {**tiny.contents(paths.judged("merged")), "record": paths.judgements("merged").read_bytes()}

    assert same(paths, made)["record"].count(b"\n") == 16


def test_what_a_recipe_makes_is_the_same(nodes: Any, model: Path, tmp_path: Path) -> None:
    """The pipeline's steps are processes of their own; each finds the cluster by itself. Nothing is asked twice."""
    paths = generating.project(tmp_path / "project")
    asking = teacher(model, base_url=None, seed=5)
    settings = generating.settings("magpie", "", teacher=asking, magpie={"opening": None})
    generate.run(settings, paths)
    alone = generating.outputs(paths)
    assert len(generating.lines(paths.responses)) >= 6
    paths.responses.unlink()
    paths.params.write_text(f"machine: {{engine: ray, address: '{nodes.address}'}}\n")
    generate.run(settings, paths)
    assert generating.outputs(paths) == alone
    paths.params.write_text("machine: {engine: ray, address: '127.0.0.1:1'}\n")
    generate.run(settings, paths)
    assert generating.outputs(paths)["responses.jsonl"] == alone["responses.jsonl"], "all is on record: no cluster"
    paths.responses.unlink()
    with pytest.raises(Unavailable, match=r"generate\.teacher: machine\.address = 127\.0\.0\.1:1: no Ray"):
        generate.run(settings, paths)


def test_a_node_that_dies_costs_the_answers_that_it_was_at(
    engine: Cluster, nodes: Any, where: Nodes, model: Path, tmp_path: Path
) -> None:
    """What had arrived stays on record; the answers under way are computed again, elsewhere, and are the same."""
    contents = [f"{number} and on" for number in range(40)]
    alone = asked(tmp_path / "alone", model, contents, None, Budget())
    (other,) = nodes.worker_nodes
    arrived: list[int] = []

    def kill() -> None:
        kept = ResponseStore(tmp_path / "spread" / "record.sqlite")
        arrived.append(until(lambda: len(kept) > 4 and len(kept)))
        os.kill(other.all_processes["raylet"][0].process.pid, signal.SIGKILL)
        kept.close()

    (tmp_path / "spread").mkdir()
    counted, killer = engine.items, threading.Thread(target=kill)
    killer.start()
    spread = asked(tmp_path / "spread", model, contents, where, Budget())
    killer.join()
    assert 4 < arrived[0] < 40, "it died in mid-work"
    assert spread == alone
    assert engine.items - counted == 40, "no answer was asked for twice"
