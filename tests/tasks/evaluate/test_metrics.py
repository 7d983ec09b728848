"""Metrics: each against values that are known, and on answers that mean harm."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.core.errors import InputError, SettingsError
from tasks.evaluate.metrics.code import runs_to_end
from tasks.evaluate.metrics.registry import scorer
from tasks.evaluate.settings import Metric, Settings

ROW: dict[str, Any] = {"id": "r1"}


def scored(metric: dict[str, Any], output: str, reference: str, scoring: Path = Path()) -> float:
    return scorer(Metric.model_validate(metric), scoring)(output, reference, ROW)


@pytest.mark.parametrize(
    ("kind", "output", "reference", "score"),
    [
        ("exact_match", "docker  run\n -d nginx ", " docker run -d nginx", 1.0),
        ("exact_match", "docker run nginx", "docker run -d nginx", 0.0),
        ("exact_match", "", "x", 0.0),
        ("normalised_match", "The  Eiffel tower!", "eiffel tower", 1.0),
        ("normalised_match", "an eiffel", "eiffel tower", 0.0),
        ("contains", "it is  Paris.", "Paris", 1.0),
        ("contains", "anything", " ", 0.0),
        ("f1", "the cat sat", "a cat sat down", 0.8),  # 2 of 2 and 2 of 3 words
        ("f1", "", "x", 0.0),
        ("rouge1", "the cat sat", "the cat slept", 2 / 3),
        ("rouge2", "the cat sat", "the cat slept", 0.5),
        ("rougeL", "police kill the gunman", "police killed the gunman", 0.75),  # Lin 2004, section 3.1
        ("bleu", "the cat sat on the mat", "the cat sat on the mat", 1.0),
        ("bleu", "x", "the cat sat", 0.0),
        ("chrf", "same", "same", 1.0),
        ("json_valid", '```json\n{"a": 1}\n```', "", 1.0),
        ("json_valid", "{'a': 1}", "", 0.0),
        ("json_valid", "NaN", "", 0.0),
        ("json_valid", "[" * 100_000, "", 0.0),
        ("json_equal", '{"b": [1, 2.0], "a": null}', '{"a": null, "b": [1.0, 2]}', 1.0),
        ("json_equal", "true", "1", 0.0),
        ("json_equal", "[1]", "[1, 2]", 0.0),
    ],
)
def test_known_values(kind: str, output: str, reference: str, score: float) -> None:
    assert scored({"kind": kind}, output, reference) == pytest.approx(score)


@pytest.mark.parametrize(
    ("pattern", "output", "reference", "score"),
    [
        (r"^docker ", "docker run", "", 1.0),
        (r"^docker ", "podman run", "", 0.0),
        (r"#### (-?\d+)", "so #### 42", "because #### 42", 1.0),
        (r"#### (-?\d+)", "so #### 41", "because #### 42", 0.0),
        (r"#### (-?\d+)", "so #### 42", "42", 1.0),
    ],
)
def test_regular_expressions(pattern: str, output: str, reference: str, score: float) -> None:
    assert scored({"kind": "regex", "pattern": pattern}, output, reference) == score


def test_json_schema(tmp_path: Path) -> None:
    rules = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    (tmp_path / "call.json").write_text(json.dumps(rules))
    metric = {"kind": "json_schema", "schema_file": "call.json"}
    scores = [scored(metric, output, "", tmp_path) for output in ('{"name": "a"}', '{"name": 1}', "no")]
    assert scores == [1.0, 0.0, 0.0]
    (tmp_path / "call.json").write_text('{"type": 7}')
    with pytest.raises(SettingsError, match="not a valid JSON Schema"):
        scored(metric, "{}", "", tmp_path)
    with pytest.raises(SettingsError, match="no such file"):
        scored({**metric, "schema_file": "other.json"}, "{}", "", tmp_path)


def test_a_function_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def close(output, reference, row):\n    return 1 - abs(len(output) - len(reference)) / 10\n"
        "def broken(output, reference, row):\n    return row['nothing']\n"
        "def far(output, reference, row):\n    return 3\n"
        "def leaves(output, reference, row):\n    exit()\n"
    )
    assert scored({"kind": "function", "function": "own.py:close"}, "abc", "abcd", tmp_path) == pytest.approx(0.9)
    with pytest.raises(InputError, match=r"broken failed on the row r1 .KeyError"):
        scored({"kind": "function", "function": "own.py:broken"}, "a", "a", tmp_path)
    with pytest.raises(InputError, match=r"leaves failed on the row r1 \(SystemExit"):
        scored({"kind": "function", "function": "own.py:leaves"}, "a", "a", tmp_path)
    (tmp_path / "gone.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(InputError, match=r"gone\.py: evaluate\.metrics: f cannot be loaded from it: SystemExit: 0"):
        scored({"kind": "function", "function": "gone.py:f"}, "a", "a", tmp_path)
    with pytest.raises(InputError, match=r"far gave 3\.0 for the row r1; a score is from 0 to 1"):
        scored({"kind": "function", "function": "own.py:far"}, "a", "a", tmp_path)
    for path_and_name, error, message in (
        ("none.py:f", InputError, r"none\.py: evaluate\.metrics: f cannot be loaded from it: FileNotFoundError"),
        ("own.py:nothing", InputError, r"own\.py: evaluate\.metrics: nothing cannot be loaded from it: AttributeError"),
        ("own.py", SettingsError, "expected FILE.py:NAME"),
        ("../own.py:close", SettingsError, "expected a name inside"),
    ):
        with pytest.raises(error, match=message):
            scored({"kind": "function", "function": path_and_name}, "a", "a", tmp_path)


@pytest.mark.parametrize(
    ("program", "tests", "passes"),
    [
        ("import json, math, re\ndef f(x): return x + 1", "assert f(1) == 2", True),
        ("def f(x): return x", "assert f(1) == 2", False),
        ("def f(", "pass", False),
        ("import sys; sys.exit(0)", "assert False", False),
        ("import os; os._exit(0)", "assert False", False),
        ("import os\nwhile True: os.fork()", "pass", False),
        ("import threading; threading.Thread(target=print).start()", "pass", False),
        ("import socket; socket.socket()", "pass", False),
        ("import os; os.execv('/bin/true', ['true'])", "pass", False),
        ("import subprocess; subprocess.run(['true'])", "pass", False),
        ("import os; os.kill(os.getppid(), 9)", "pass", False),
        ("x = bytearray(10**10)", "pass", False),
        ("import os; os.setuid(0); os.chmod('.', 0o777)", "pass", False),
        ("a\0b", "pass", False),
        ("\ud800", "pass", False),
    ],
)
def test_code_computes_and_does_nothing_else(program: str, tests: str, passes: bool) -> None:
    assert runs_to_end(program, tests, timeout=20, memory=512) is passes


@pytest.mark.parametrize(
    "program", ["while True: pass", "import time; time.sleep(99)", "while True: print('x' * 9999)"]
)
def test_code_that_never_ends_is_ended(program: str) -> None:
    assert runs_to_end(program, "", timeout=0.3, memory=256) is False


def test_code_that_writes(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    for program in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"import os; os.open({str(tmp_path / 'new')!r}, os.O_CREAT | os.O_RDWR)",
        f"open({str(kept)!r}, 'a').write('more')",
        f"import os; os.truncate({str(kept)!r}, 0)",
        f"import os; os.remove({str(kept)!r})",
        f"import os; os.rename({str(kept)!r}, {str(tmp_path / 'new')!r})",
        f"import os; os.symlink({str(kept)!r}, {str(tmp_path / 'new')!r})",
    ):
        assert runs_to_end(program, "", timeout=20, memory=512) is False, program
    assert [file.name for file in tmp_path.iterdir()] == ["kept"] and kept.read_text() == "kept"


def test_code_that_reads(tmp_path: Path) -> None:
    """Secrets of this machine: files, and what the kernel says of other processes."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    for path in (tmp_path / "secret", tmp_path / "link", "/etc/passwd", "/proc/self/environ", "/proc/1/environ",
                 "/proc/self/stat", f"/proc/{os.getpid()}/environ", f"/proc/{os.getpid()}/mem", __file__):  # fmt: skip
        for program in (f"open({str(path)!r}, 'rb').read(1)", f"import os; os.open({str(path)!r}, os.O_RDONLY)"):
            assert runs_to_end(program, "", timeout=20, memory=512) is False, path
    for folder in ("/", "/proc/self/fd", "/root", "/home", str(tmp_path)):
        assert runs_to_end(f"import os; os.listdir({folder!r})", "", timeout=20, memory=512) is False, folder
    imports = "import collections, datetime, decimal, hashlib, itertools, json, random, re, sqlite3, typing, zoneinfo"
    assert runs_to_end(f"{imports}\nopen('/dev/urandom', 'rb').read(8)", "", timeout=20, memory=512)


PARENT = "import os, fcntl\nread, write = 0, 3\n"


@pytest.mark.parametrize(
    "program",
    [
        f"{PARENT}fcntl.fcntl(read, fcntl.F_SETOWN, TESTER)",
        f"{PARENT}fcntl.fcntl(read, 10, 9)",  # F_SETSIG
        f"{PARENT}fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)",
        f"{PARENT}fcntl.flock(read, fcntl.LOCK_EX)",
        f"{PARENT}fcntl.fcntl(write, 1031, 4096)",  # F_SETPIPE_SZ
        f"{PARENT}fcntl.ioctl(read, 0x80086601, bytearray(8))",  # FS_IOC_GETFLAGS
        f"{PARENT}fcntl.ioctl(read, 0x5412, b'x')",  # TIOCSTI, what a terminal would be typed
        f"{PARENT}os.write(read, b'x')",
        f"{PARENT}os.kill(TESTER, 0)",
        f"{PARENT}os.killpg(0, 9)",
        f"{PARENT}os.setpriority(os.PRIO_PROCESS, TESTER, 19)",
        f"{PARENT}os.pipe()",
        f"{PARENT}os.memfd_create('x')",
        "import ctypes; assert ctypes.CDLL(None).process_vm_readv(TESTER, 0, 0, 0, 0, 0) != -1",
        "import ctypes; assert ctypes.CDLL(None).ptrace(16, TESTER, 0, 0) != -1",
        "import ctypes; assert ctypes.CDLL(None).syscall(425, 8, 0) != -1",  # io_uring
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "import mmap; mmap.mmap(-1, 2**31)",
    ],
)
def test_code_reaches_nobody_else(program: str) -> None:
    program = program.replace("TESTER", str(os.getpid()))  # here, since names of tests must not change
    assert runs_to_end(program, "", timeout=20, memory=512) is False


def test_code_that_floods_what_it_is_listened_to_by() -> None:
    for program in ("import os\nwhile True: os.write(3, b'x' * 65536)", "import os; os.write(3, b'x' * 60000)"):
        assert runs_to_end(program, "", timeout=1, memory=256) is False


FORGED = """import sys, os
for depth in range(1, 9):
    try:
        names = sys._getframe(depth).f_locals
    except ValueError:
        break
    if "token" in names:
        os.write(names["write"], names["token"].encode())
        os._exit(0)
"""


def test_code_that_says_itself_that_it_passed() -> None:
    score = scorer(Metric(kind="code", timeout=20), Path())
    reading = "import os\nos.lseek(0, 0, 0)\nos.write(3, os.read(0, 32))\nos._exit(0)\n"
    for program in (FORGED, reading, f"def f(x):\n    {FORGED.replace(chr(10), chr(10) + '    ')}"):
        assert score(program, "", {"id": "r1", "tests": "assert f(2) == 4"}) == 0.0
    assert score("print('0' * 32)", "", {"id": "r1", "tests": "assert f(2) == 4"}) == 0.0


def test_code_sees_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert "HF_TOKEN" in os.environ
    assert runs_to_end("import os\nassert 'HF_TOKEN' not in os.environ", "", timeout=20, memory=512)


def test_code_in_markdown_with_the_tests_of_its_row() -> None:
    score = scorer(Metric(kind="code", timeout=20), Path())
    answer = "Here it is:\n```python\ndef f(x):\n    return 2 * x\n```\nDone."
    assert score(answer, "", {"id": "r1", "tests": "assert f(2) == 4"}) == 1.0
    assert score(answer, "", {"id": "r1", "tests": "assert f(2) == 5"}) == 0.0
    with pytest.raises(InputError, match="the row r1 has no tests to run"):
        score(answer, "", ROW)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([{"kind": "regex"}], "needs the key pattern"),
        ([{"kind": "regex", "pattern": "("}], "not a regular expression"),
        ([{"kind": "f1", "pattern": "x"}], "the key pattern is for the metric regex"),
        ([{"kind": "f1"}, {"kind": "f1"}], "two metrics are named f1"),
        ([{"kind": "f1", "name": "output"}], "the predictions already have a column"),
        ([], "at least 1"),
    ],
)
def test_settings_that_do_not_fit(metrics: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate({"metrics": metrics})
