"""The stage `generate`: the real distilabel pipeline with both teachers, and everything that can go wrong with them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from tasks.generate.rows import verify

from tasks.contract.errors import InputError, LossError, MachineError
from tasks.contract.ledger import Ledger
from tasks.contract.paths import Paths
from tasks.contract.rows import row_id
from tasks.generate import Settings, run
from tasks.generate.program import Request, answer, load
from tests.tasks.teacher_server import teacher_server

ROOT = Path(__file__).parents[2]
SEED = ROOT / "data" / "seed"
FEW: dict[str, Any] = {"rows": 30, "validation_rows": 4, "test_rows": 6, "batch_size": 8}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "data").mkdir()
    shutil.copytree(SEED, tmp_path / "data" / "seed")
    return Paths(tmp_path)


def rows(paths: Paths) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (paths.generated / "rows.jsonl").read_text().splitlines()]


def ledger(paths: Paths) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((paths.generated / "ledger.json").read_text())
    return read


def server_settings(base_url: str, **teacher: Any) -> Settings:
    named = {"kind": "openai", "base_url": base_url, "model": "scripted", "max_retries": 0, **teacher}
    return Settings.model_validate({**FEW, "teacher": named})


def test_the_program_answers_every_instruction_in_order(paths: Paths) -> None:
    run(Settings(**FEW), paths)
    made = rows(paths)
    assert ledger(paths)["in"] == 40
    assert ledger(paths)["out"] == {"train": 30, "validation": 4, "test": 6}
    assert ledger(paths)["left"] == {}
    assert [row["split"] for row in made] == ["train"] * 30 + ["validation"] * 4 + ["test"] * 6
    assert [row["slice"] for row in made[-6:]] == ["new_combination"] * 3 + ["new_phrasing"] * 3
    grammar = load(SEED)
    for row in made:
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert assistant["content"] == answer(grammar, user["content"])
        assert row["id"] == row_id("generate", row["messages"])
        assert set(row["provenance"]) == {"recipe", "teacher", "intent", "phrasing"}
    assert len({row["id"] for row in made}) == 40
    names = sorted(path.name for path in paths.generated.iterdir())
    assert names == ["ledger.json", "left_out.jsonl", "rows.jsonl", "settings.json"]
    assert str(paths.root) not in "".join((paths.generated / name).read_text() for name in names)
    assert not paths.scratch("generate").exists()


def test_the_recipe_none_makes_an_empty_set(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    run(Settings(recipe="none"), paths)
    assert rows(paths) == []
    assert ledger(paths)["in"] == 0


def test_a_server_is_asked_with_its_key_and_its_answers_are_verified(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    grammar = load(SEED)
    asked: list[str] = []
    lock = threading.Lock()

    def script(request: str) -> str | int | None:
        with lock:
            asked.append(request)
            number = len(asked)
        return {1: None, 2: "docker explode", 3: 500}.get(number, answer(grammar, request))

    monkeypatch.setenv("TEACHER_KEY", "sesame")
    with teacher_server(script) as server:
        settings = server_settings(server.base_url, key_variable="TEACHER_KEY")
        settings = settings.model_copy(update={"max_loss": 0.5})
        run(settings, paths)
    assert len(asked) == 40
    assert set(server.keys) == {"Bearer sesame"}
    assert ledger(paths)["left"] == {"no_answer": 2, "wrong_answer": 1}
    assert len(rows(paths)) == 37
    left = [json.loads(line) for line in (paths.generated / "left_out.jsonl").read_text().splitlines()]
    assert sorted(row["reason"] for row in left) == ["no_answer", "no_answer", "wrong_answer"]
    assert {row["messages"][0]["content"] for row in left} == set(asked[:3])
    written = "".join(path.read_text() for path in paths.generated.iterdir())
    assert "sesame" not in written
    assert {row["provenance"]["teacher"] for row in rows(paths)} == {"openai:scripted"}


def test_a_server_that_fails_loses_no_row_in_silence(paths: Paths) -> None:
    with teacher_server(lambda request: 500) as server, pytest.raises(LossError, match=r"no_answer 40.*") as caught:
        run(server_settings(server.base_url), paths)
    assert "generate.max_loss" in str(caught.value)
    assert not paths.generated.exists()


def test_a_key_that_is_not_set_is_asked_for_by_name(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with pytest.raises(InputError, match=r"TEACHER_KEY.*no such variable"):
        run(server_settings("http://127.0.0.1:9/v1", key_variable="TEACHER_KEY"), paths)


def test_a_server_needs_an_address_and_a_model() -> None:
    with pytest.raises(ValueError, match=r"generate\.teacher\.model"):
        Settings.model_validate({"teacher": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}})


def test_a_pipeline_that_takes_too_long_is_ended(paths: Paths) -> None:
    with pytest.raises(MachineError, match=r"within 1 seconds \(generate\.timeout\)"):
        run(Settings(**FEW, timeout=1), paths)
    assert not paths.scratch("generate").exists()
    assert not [child for child in psutil.Process().children() if "tasks.generate.pipeline" in child.cmdline()]


def test_a_killed_stage_leaves_no_process_behind(paths: Paths) -> None:
    release = threading.Event()

    def script(request: str) -> int:
        release.wait(60)
        return 500

    with teacher_server(script) as server:
        teacher = f"{{kind: openai, base_url: '{server.base_url}', model: scripted}}"
        (paths.root / "params.yaml").write_text(f"generate: {{rows: 4, test_rows: 2, teacher: {teacher}}}\n")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        stage = psutil.Popen([sys.executable, "-m", "tasks", "generate"], cwd=paths.root, env=environment)
        try:
            assert server.asked_once.wait(120)
            children = stage.children(recursive=True)
            assert len(children) >= 3  # the pipeline, its manager, and its steps
        finally:
            stage.send_signal(signal.SIGKILL)
            stage.wait()
        _, alive = psutil.wait_procs(children, timeout=30)
        release.set()
    assert alive == []
    assert not paths.generated.exists()


def test_a_training_row_like_a_test_row_leaves_and_the_ledger_adds_up() -> None:
    grammar = load(SEED)
    test = Request("stop the container front3", "docker stop front3", "stop", "requests/1", ("front3",))
    twin = Request("Stop the container, front3!", "docker stop front3", "stop", "requests/1", ("front3",))
    other = Request("stop the container front4", "docker stop front4", "stop", "requests/1", ("front4",))
    asked = [(twin, "train"), (other, "train"), (test, "new_combination")]
    counts = Ledger()
    kept, left = verify(asked, [request.command for request, _ in asked], grammar, Settings(), counts)
    assert counts.left == {"near_duplicate_of_test": 1}
    assert counts.balance() == 0
    assert [row["messages"][0]["content"] for row in kept] == [other.request, test.request]
    assert left[0]["messages"][0]["content"] == twin.request


def test_declaring_the_stage_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'distilabel', 'pandas', 'pyarrow'}"
    code = f"import sys, tasks.generate, tasks.generate.program, tasks.clean; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
