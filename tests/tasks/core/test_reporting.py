"""How a stage's process ends by an error: one sentence, a line for who reads lines, never a traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import AGAIN
from tasks.core.protocol import parse
from tasks.core.unforeseen import library, setting
from tests.flows.project import ROOT, until

CANDIDATES = ("base", "base_system", "base_few_shot", "adapter", "merged")
SENTENCE = (
    "decide: pyarrow raised ArrowInvalid: data/evaluation/base/predictions.parquet: "
    "Parquet file size is 5 bytes, smaller than the minimum file "
    "footer (8 bytes); check decide in params.yaml; the full traceback is in data/scratch/failures/decide.txt."
)


def python(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def program(body: str, values: str = "{}") -> str:
    """A program that does `body` as the stage train with the settings `values`."""
    return (
        "import sys\nfrom tasks.core.reporting import guarded\n"
        f"def work():\n    {body}\n"
        f"sys.exit(guarded('train', work, command='train', values=lambda: {values}))"
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A project whose predictions are no Parquet files, which the stage decide does not foresee."""
    (tmp_path / "params.yaml").write_text("decide: {}\n")
    for candidate in CANDIDATES:
        folder = tmp_path / "data/evaluation" / candidate
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text("{}")
        (folder / "predictions.parquet").write_text("junk\n")
    return tmp_path


def test_a_person_reads_one_sentence_on_an_error_that_nobody_foresaw(broken: Path) -> None:
    done = python(broken, "-m", "tasks", "decide")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{SENTENCE}\n")
    kept = (broken / "data/scratch/failures/decide.txt").read_text()
    assert kept.startswith("Traceback (most recent call last):")
    assert "ArrowInvalid: data/evaluation/base/predictions.parquet: Parquet file size" in kept


def test_who_asks_for_lines_gets_a_line_instead(broken: Path) -> None:
    done = python(broken, "-m", "tasks", "decide", TEMPER_ERRORS="json")
    assert (done.returncode, done.stderr) == (1, "")
    value = {"class": "StageFailed", "sentence": SENTENCE, "again": False}
    assert [parse(line) for line in done.stdout.split("\n") if line] == [("error", value)]


@pytest.mark.parametrize(
    ("body", "values", "message"),
    [
        (
            "import jinja2; jinja2.Environment().from_string('{% bad')",
            "{'chat_template': None}",
            "train: jinja2 raised TemplateSyntaxError: Encountered unknown tag 'bad'; check train in params.yaml; ",
        ),
        (
            "raise ValueError('the learning rate is too high.')",
            "{'steps': 3, 'learning_rate': 0.5}",
            "train: temper itself raised ValueError: the learning rate is too high; "
            "the setting most likely at fault is train.learning_rate; ",
        ),
        ("{}['x']", "1 / 0", "train: temper itself raised KeyError: 'x'; check train in params.yaml; "),
        ("raise MemoryError", "{}", "train: temper itself raised MemoryError; check train in params.yaml; "),
        ("raise OSError('the hub is away')", "{}", "train: temper itself raised OSError: the hub is away; check "),
    ],
)
def test_the_sentence_names_library_and_setting(body: str, values: str, message: str, tmp_path: Path) -> None:
    done = python(tmp_path, "-c", program(body, values))
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.endswith("; the full traceback is in data/scratch/failures/train.txt.\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise ConnectionRefusedError(111, 'refused')", AGAIN, "train: Connection refused.\n"),
        ("open('rows.jsonl')", 1, "train: rows.jsonl: no such file; run the stages before this one first.\n"),
    ],
)
def test_an_error_of_the_system_needs_no_traceback(body: str, code: int, message: str, tmp_path: Path) -> None:
    done = python(tmp_path, "-c", program(body))
    assert (done.returncode, done.stderr) == (code, message)
    assert not (tmp_path / "data").exists()


def test_a_traceback_that_cannot_be_kept_does_not_hide_the_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder is wanted")
    done = python(tmp_path, "-c", program("raise ValueError('too much')"))
    assert done.returncode == 1
    assert done.stderr.startswith("train: temper itself raised ValueError: too much; check train in params.yaml; ")
    assert "; the traceback could not be kept: data" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_that_is_interrupted_leaves_no_traceback(tmp_path: Path) -> None:
    body = "import time; open('up', 'w').close(); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", program(body)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: (tmp_path / "up").exists())
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == ""
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("got an unexpected keyword argument 'neftune_noise'", "arguments.neftune_noise"),
        ("no module named adamw_9bit", "optimizer"),
        ("index 4096 is out of bounds", "max_length"),
        ("index 14096 is out of bounds for 1 of 40961", ""),
        ("max length exceeded", "max_length"),
        ("data/guides/worth.py is empty", "rewards.0.name"),
        ("nothing is known", ""),
    ],
)
def test_the_setting_is_the_one_whose_name_or_value_the_message_has(message: str, key: str) -> None:
    settings: dict[str, Any] = {
        "optimizer": "adamw_9bit", "max_length": 4096, "threads": 1, "packing": True, "lora": {"r": 8},
        "arguments": {"neftune_noise": 5}, "rewards": [{"name": "data/guides/worth.py"}],
    }  # fmt: skip
    assert setting(message, settings) == key


def test_a_callback_of_temper_is_not_blamed_on_the_library_that_calls_it() -> None:
    import jinja2

    from tasks.core.files import read_json

    with pytest.raises(AttributeError) as caught:
        jinja2.Environment().from_string("{{ call() }}").render(call=lambda: read_json("file", "x"))  # type: ignore[arg-type]
    assert library(caught.value) == "temper itself"


def test_a_library_written_in_c_is_known_by_its_class() -> None:
    from pydantic_core import SchemaValidator, ValidationError, core_schema

    with pytest.raises(ValidationError) as caught:
        SchemaValidator(core_schema.int_schema()).validate_python("x")
    assert library(caught.value) == "pydantic_core"


def test_a_line_that_a_kill_cut_off_is_text() -> None:
    line = f"::error {json.dumps({'class': 'Busy', 'sentence': 'x', 'again': False})}"
    assert parse(f"{line}\n") is not None
    assert [parse(line[:length]) for length in range(len(line))] == [None] * len(line)
