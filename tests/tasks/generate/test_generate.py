"""The stage `generate`: what it does when a teacher, a process or a budget ends before its time."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.core.errors import AGAIN, InputError, LossError, Unavailable
from tasks.core.paths import Paths
from tasks.generate.program import answer, load
from tasks.generate.settings import Settings
from tasks.generate.stage import run
from tasks.rows.canonical import row_id
from tasks.teacher.request import Request, Response
from tasks.teacher.response_store import DATABASE, ResponseStore
from tests.tasks.generate.test_recipes import check
from tests.tasks.generating import ROOT, ledger, lines, outputs, project, requests, settings, start
from tests.tasks.good_teacher import good
from tests.tasks.teacher_server import Asked, Reply, teacher_server

SEED = ROOT / "data" / "seed"
FEW: dict[str, Any] = {"rows": 30, "validation_rows": 4, "test_rows": 6, "batch_size": 8}
MANY = {"rows": 12, "instructions": {"each": 4}, "teacher": {"concurrency": 2}}
ASKED, PART = 3 + 12 + 12, 5
"""Requests for tasks, for harder ones and for answers, two at once; how many are answered until something is killed."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "data").mkdir()
    shutil.copytree(SEED, tmp_path / "data" / "seed")
    return Paths(tmp_path)


def program(base_url: str, **more: Any) -> Settings:
    """Settings of the recipe `program` with a server as teacher."""
    teacher = {"kind": "openai", "base_url": base_url, "model": "scripted", "max_retries": 0, **more.pop("teacher", {})}
    return Settings.model_validate({**FEW, "teacher": teacher, **more})


def family(process: psutil.Process) -> list[psutil.Process]:
    """All that came from a process."""
    children: list[psutil.Process] = process.children(recursive=True)
    return children


def test_the_program_answers_every_instruction_in_order(paths: Paths) -> None:
    run(Settings(**FEW), paths)
    rows = lines(paths.generated / "rows.jsonl")
    counts = ledger(paths)
    assert (counts["in"], counts["out"], counts["left"]) == (40, {"train": 30, "validation": 4, "test": 6}, {})
    assert [row["split"] for row in rows] == ["train"] * 30 + ["validation"] * 4 + ["test"] * 6
    assert [row["slice"] for row in rows[-6:]] == ["new_combination"] * 3 + ["new_phrasing"] * 3
    grammar = load(SEED)
    for row in rows:
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert assistant["content"] == answer(grammar, user["content"])
        assert row["id"] == row_id("generate", row["messages"])
        assert set(row["provenance"]) == {"recipe", "teacher", "intent", "phrasing"}
    assert len({row["id"] for row in rows}) == 40
    assert sorted(outputs(paths)) == [
        "ledger.json", "left_out.jsonl", "responses.jsonl", "rows.jsonl", "settings.json"
    ]  # fmt: skip
    assert str(paths.root) not in "".join(content.decode() for content in outputs(paths).values())
    assert not paths.scratch("generate").exists()


def test_the_recipe_none_makes_an_empty_set(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    run(Settings(recipe="none"), paths)
    assert lines(paths.generated / "rows.jsonl") == []
    assert ledger(paths)["in"] == 0


def test_a_server_is_asked_with_its_key_and_its_answers_are_verified(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    grammar = load(SEED)
    faults: dict[int, Reply | str | int | None] = {0: None, 1: "docker explode", 2: 500, 3: Reply(close=True)}

    def script(asked: Asked) -> Reply | str | int | None:
        return faults.get(asked.number, answer(grammar, asked.text))

    monkeypatch.setenv("TEACHER_KEY", "sesame")
    with teacher_server(script) as server:
        run(program(server.base_url, teacher={"key_variable": "TEACHER_KEY"}, max_loss=0.5), paths)
        assert requests(server) == 40
        assert set(server.keys) == {"Bearer sesame"}
        wrong = {asked.text for asked in server.asked[:4]}
    assert ledger(paths)["left"] == {"no_answer": 3, "wrong_answer": 1}
    left = lines(paths.generated / "left_out.jsonl")
    assert {row["messages"][0]["content"] for row in left} == wrong
    assert all(row["expected"] == answer(grammar, row["messages"][0]["content"]) for row in left)
    assert "sesame" not in "".join(content.decode() for content in outputs(paths).values())
    rows = lines(paths.generated / "rows.jsonl")
    assert {row["provenance"]["teacher"] for row in rows} == {"openai:scripted"}


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (Reply(status=401, body=b'{"error": "no sesame"}'), InputError, r"rejects the key in TEACHER_KEY.*no \*\*\*"),
        (500, Unavailable, "64 requests in a row failed; the last: status 500"),
    ],
)
def test_a_teacher_that_cannot_be_used_ends_the_stage_with_a_sentence(
    reply: Reply | int, kind: type[Exception], message: str, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sesame")
    with teacher_server(lambda asked: reply) as server, pytest.raises(kind, match=message) as error:
        run(program(server.base_url, rows=100, teacher={"key_variable": "TEACHER_KEY"}), paths)
    assert "0 responses are kept" in str(error.value)
    assert "sesame" not in str(error.value)
    assert not paths.generated.exists()
    assert not paths.scratch("generate").exists()  # nothing was paid for


def test_losses_beyond_the_limit_fail_the_stage_and_what_was_paid_for_is_kept(paths: Paths) -> None:
    grammar = load(SEED)
    with teacher_server(lambda asked: 400 if asked.number < 3 else answer(grammar, asked.text)) as server:
        with pytest.raises(LossError, match=r"3 of 40 rows .* no_answer 3.*generate\.max_loss"):
            run(program(server.base_url), paths)
        assert not paths.generated.exists()
        assert len(lines_of(paths)) == 37
        run(program(server.base_url), paths)  # what failed in a run that did not finish is asked again
        assert requests(server) == 40 + 3
    assert ledger(paths)["left"] == {}


def test_a_pipeline_that_takes_too_long_is_ended(paths: Paths) -> None:
    with pytest.raises(Unavailable, match=r"within 1 seconds \(generate\.timeout\)"):
        run(Settings(**FEW, timeout=1), paths)
    assert not [child for child in psutil.Process().children() if "tasks.generate.pipeline" in child.cmdline()]


def undisturbed(folder: Path) -> dict[str, bytes]:
    """What a run that nothing disturbs writes, but for its settings, which name another port."""
    with teacher_server(good) as server:
        paths = project(folder)
        run(settings("instructions", server.base_url, **MANY), paths)
        assert requests(server) == ASKED
    check("instructions", paths, 12, {}, ASKED)
    return {name: content for name, content in outputs(paths).items() if name != "settings.json"}


def resumed(paths: Paths, chosen: Settings) -> dict[str, bytes]:
    """What another run writes."""
    run(chosen, paths)
    return {name: content for name, content in outputs(paths).items() if name != "settings.json"}


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(["stage"], id="stage"),
        pytest.param(["server", "step", "stage"], id="all", marks=pytest.mark.long),
    ],
)
def test_server_step_and_stage_killed_in_turn_cost_nothing_twice(victims: list[str], tmp_path: Path) -> None:
    """The server dies, a step of the pipeline, the stage; the last run asks only what is missing."""
    expected = undisturbed(tmp_path / "undisturbed")
    paths = project(tmp_path / "killed")
    halt, reached, dead = [0], threading.Event(), threading.Event()

    def script(asked: Asked) -> Reply:
        if len(paid) >= halt[0]:
            waiting.append(asked)
            if len(waiting) == 2:  # both: each answer before them has arrived
                reached.set()
            dead.wait(60)
            return Reply(close=True)
        reply = good(asked)
        paid.append(json.dumps(asked.body, sort_keys=True))
        return reply

    paid: list[str] = []
    waiting: list[Asked] = []
    port = 0
    for victim in victims:
        halt[0] += PART
        reached.clear()
        dead.clear()
        waiting.clear()
        with teacher_server(script, port) as server:
            port, chosen = server.server_address[1], settings("instructions", server.base_url, **MANY)
            stage = start(paths, chosen)
            assert reached.wait(120)
            children = family(stage)
            if victim == "step":
                steps = [child for child in children if child.status() != psutil.STATUS_ZOMBIE and _asks(child, port)]
                steps[0].send_signal(signal.SIGKILL)
                assert stage.wait(60) == 1
            elif victim == "stage":
                stage.send_signal(signal.SIGKILL)
                stage.wait()
            if victim != "server":
                assert psutil.wait_procs(children, timeout=30)[1] == []
                dead.set()
        if victim == "server":  # the connections break, and nobody listens any more
            dead.set()
            assert stage.wait(60) == AGAIN
        assert not paths.generated.exists()
        assert len(lines_of(paths)) == halt[0]
    left = ASKED - halt[0]
    halt[0] = 1000
    with teacher_server(script, port) as server:
        assert resumed(paths, chosen) == expected
        assert requests(server) == left
    assert len(paid) == len(set(paid)) == ASKED
    assert not paths.scratch("generate").exists()


def _asks(process: psutil.Process, port: int) -> bool:
    """Whether a process has a connection to the teacher."""
    try:
        return any(connection.raddr and connection.raddr.port == port for connection in process.net_connections())
    except psutil.NoSuchProcess:
        return False


def lines_of(paths: Paths) -> list[str]:
    """Responses in the database that an unfinished run has left."""
    record = ResponseStore(paths.scratch("generate") / DATABASE)
    try:
        return [line for (line,) in record._database.execute("SELECT line FROM lines WHERE kind = 'response'")]
    finally:
        record.close()


def test_a_changed_prompt_pays_for_what_changed_and_changing_back_for_nothing(tmp_path: Path) -> None:
    paths = project(tmp_path)
    with teacher_server(good) as server:
        run(documents := settings("documents", server.base_url, documents={"questions": 3}), paths)
        check("documents", paths, 3, {"unsupported": 3, "missing": 3}, 3)
        first = {name: content for name, content in outputs(paths).items() if name != "responses.jsonl"}
        document = paths.data / "documents/b.md"
        before = document.read_text()
        document.write_text(before.replace("kept in store", "held in store"))
        run(documents, paths)
        assert requests(server) == 3 + 1
        document.write_text(before)
        run(documents, paths)
        assert requests(server) == 4
    assert {name: content for name, content in outputs(paths).items() if name != "responses.jsonl"} == first
    assert len(lines(paths.responses)) == 4


def test_a_budget_stops_cleanly_and_keeps_what_it_has(tmp_path: Path) -> None:
    """12 tokens a response, and 128 more that one under way may take; then the same again, without a server."""
    budget = {"max_cost": 0.002}
    paths = project(tmp_path)
    prices = {"input_price": 10, "output_price": 10, "concurrency": 1}
    with teacher_server(good) as server:
        chosen = settings("magpie", server.base_url, rows=30, max_loss=0, budget=budget, teacher=prices)
        run(chosen, paths)
        asked = requests(server)
    counts = ledger(paths)
    assert 0 < counts["input_tokens"] + counts["output_tokens"] == 12 * asked <= 200
    assert counts["left"] == {"budget": 30}  # the instructions are asked first: no answer was left to pay for
    before = outputs(paths)
    run(chosen, paths)
    assert outputs(paths) == before
    with teacher_server(good) as server:
        more = settings("magpie", server.base_url, rows=30, max_loss=0, teacher=prices)
        run(more, paths)
        assert requests(server) == 60 - asked
    check("magpie", paths, 30, {}, 60)


def test_a_damaged_record_is_refused_by_its_line(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    whole = json.dumps({"key": "0" * 64, "response": {"text": "well"}, "request": {}}) + "\n"
    paths.data.mkdir()
    paths.responses.write_text(whole + whole[:-10])
    with pytest.raises(
        InputError, match=r"responses\.jsonl, line 2: not a valid line of a response record.*dvc checkout"
    ):
        run(Settings(recipe="none"), paths)
    assert not paths.generated.exists()
    assert not paths.scratch("generate").exists()


def test_a_refused_run_leaves_nothing_but_what_was_paid_for_and_is_not_in_the_record(tmp_path: Path) -> None:
    paths = project(tmp_path)
    shutil.rmtree(paths.data / "tasks")
    refused = settings("instructions", "http://127.0.0.1:9/v1")

    def recorded(count: int, path: Path) -> ResponseStore:
        record = ResponseStore(path)
        for number in range(count):
            record.put(Request("m", f"question {number}", {"max_tokens": 9}), Response("well"))
        return record

    filed = recorded(2, tmp_path / "filed.sqlite")
    filed.save(paths.responses)
    filed.close()
    with pytest.raises(InputError):
        run(refused, paths)
    assert not paths.scratch("generate").exists()
    recorded(3, paths.scratch("generate") / DATABASE).close()  # as an unfinished run leaves it
    with pytest.raises(InputError):
        run(refused, paths)
    assert len(lines_of(paths)) == 3


@pytest.mark.long
def test_the_pipeline_starts_without_libraries_for_steps_of_others() -> None:
    spared = "{'datasets', 'pandas', 'redis', 'torch', 'transformers'}"
    code = (
        "import sys; from tasks.generate.private_distilabel import pipeline_class; pipeline_class(); "
        f"import pyarrow, tasks.generate.teacher.model; pyarrow.array([1]); print({spared} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_declaring_the_stage_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'distilabel', 'pandas', 'pyarrow', 'aiohttp', 'numpy', 'sqlite3'}"
    code = f"import sys, tasks.generate.program, tasks.stages as s; s.stages(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
