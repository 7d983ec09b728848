"""A stage's process: its sentences and exit codes, and what a disk that cannot be written leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disk import small_disk
from tests.flows.project import ROOT


def stage(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `python -m tasks ...` in `folder`; return the exit code and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "tasks", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def project(folder: Path) -> None:
    """Params and twenty rows to clean."""
    (folder / "params.yaml").write_text("clean:\n  input: rows.jsonl\n  test_share: 0.5\n")
    chats = [[{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}] for n in range(20)]
    (folder / "rows.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))


def test_a_full_or_protected_disk_is_a_sentence_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        project(disk.path)
        disk.fill()
        code, output = stage(disk.path, "clean")
        assert code == 1
        assert "the disk is full; free some space and run again" in output
        assert not [path for path in disk.path.glob("data/**/*") if path.is_file()]
        disk.empty()
        assert stage(disk.path, "clean")[0] == 0
        kept = {file.name: file.read_bytes() for file in (disk.path / "data/clean").iterdir()}
        disk.protect()
        code, output = stage(disk.path, "clean")
        assert code == 1
        assert "the file system is read-only; run in a folder that can be written" in output
        assert {file.name: file.read_bytes() for file in (disk.path / "data/clean").iterdir()} == kept


@pytest.mark.parametrize("arguments", [[], ["cook"], ["quantize", "nf4", "int8"]])
def test_a_call_that_means_nothing_is_answered_with_the_usage(tmp_path: Path, arguments: list[str]) -> None:
    code, output = stage(tmp_path, *arguments)
    assert code == 1
    assert output.startswith(
        "usage: python -m tasks " + (arguments[0] if arguments[:1] == ["quantize"] else "STAGE, with STAGE one of")
    )


def test_without_params_the_sentence_says_where_to_go(tmp_path: Path) -> None:
    assert stage(tmp_path, "clean") == (
        1,
        "clean: params.yaml: no such file; run temper in the project's folder.\n",
    )


HEAVY = {
    "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "pandas", "scipy", "sklearn",
    "matplotlib", "lm_eval", "distilabel", "ray",
}  # fmt: skip

ALLOWED = {
    ("generate", "clean", "template", "judge", "decide", "report"): set[str](),
    ("merge", "quantize", "evaluate"): {"torch", "transformers"},
}
"""Stages -> the heavy libraries that their work begins with; others load where they are used."""


@pytest.mark.parametrize("names", ALLOWED, ids="-".join)
def test_a_stage_loads_no_library_that_it_does_not_use(names: tuple[str, ...], tmp_path: Path) -> None:
    lines = [f"import tasks.{name}.run" for name in names]
    if "report" in names:  # and reads tables without pandas
        lines += [
            "import pyarrow, pyarrow.parquet",
            "table = pyarrow.table({'a': pyarrow.nulls(2)})",
            "pyarrow.parquet.write_table(table, 'a.parquet')",
            "from pathlib import Path",
            "from tasks.rows.parquet import read_table",
            "assert read_table(Path('a.parquet')).to_pylist() == [{'a': None}, {'a': None}]",
        ]
    program = "\n".join(["import sys", *lines, f"print(*sorted({HEAVY} & set(sys.modules)))"])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    assert set(done.stdout.split()) <= ALLOWED[names]
