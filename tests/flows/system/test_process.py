"""A stage's process: what it says, how its errors arrive, how it is ended."""

import os
import shlex
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flows.system.process import Children, Command, ask
from tasks.core.errors import TREE, StageFailed, TemperError, Unavailable
from tests.flows.project import ROOT, until

REPORTED = '::error {"class": "StageFailed", "sentence": "nf4: two\\nlines", "again": false}'


def ran(text: str, children: Children | None = None) -> tuple[list[str], list[dict[str, Any]]]:
    lines: list[str] = []
    progress: list[dict[str, Any]] = []
    command = Command("toy", text, Path.cwd(), dict(os.environ))
    (children or Children()).run(command, lines.append, progress.append)
    return lines, progress


def test_lines_are_logged_and_progress_is_taken_out() -> None:
    lines, progress = ran("""echo one; echo '::progress {"done": 1}'; echo two >&2; echo "$TEMPER_PROGRESS" """)
    assert sorted(lines) == ["json", "one", "two"]
    assert progress == [{"done": 1}]


def test_what_a_person_should_read_at_once_is_told() -> None:
    notes: list[str] = []
    command = Command("toy", """echo '::note {"text": "step 3"}'; echo one""", Path.cwd(), dict(os.environ))
    lines: list[str] = []
    Children().run(command, lines.append, lambda state: None, None, notes.append)
    assert (lines, notes) == (["one"], ["step 3"])


def test_progress_that_is_cut_off_is_a_line() -> None:
    lines, progress = ran("""echo '::progress {"done"'""")
    assert (lines, progress) == (['::progress {"done"'], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"echo noise; printf '%s\\n' '{REPORTED}'; exit 1", r"^nf4: two\nlines$"),
        ("echo 'oh dear' >&2; exit 3", "^toy failed with exit code 3. Its last lines:\n    oh dear$"),
        ("echo 'on stdout'; exit 3", "    on stdout$"),
        ("kill -9 $$", "^toy was killed by SIGKILL. If nobody did this, memory ran out"),
        ("echo 'nf4: needs 3 GiB of memory'; kill -9 $$; nf4", "^toy was killed by SIGKILL"),
        ("kill -15 $$", "^toy was killed by SIGTERM. Run again to continue.$"),
        ("/no/such/program", "^toy failed with exit code 127"),
    ],
)
def test_a_failure_is_told_in_the_stages_own_words(text: str, message: str) -> None:
    with pytest.raises(StageFailed, match=message):
        ran(text)


REPORTS = """
import sys
from tasks.core import errors
from tasks.core.reporting import report
print("a line that no line break ends", end="")
print("Traceback of somebody else", file=sys.stderr)
sys.exit(report(errors.{kind}(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("kind", "lines"), [*((kind, 2) for kind in sorted(TREE)), ("InputError", 31), ("Unavailable", 300)]
)
def test_an_error_arrives_as_it_was_raised(kind: str, lines: int, tmp_path: Path) -> None:
    text = "\n".join(f"{number}: é 字 🙂 \u2028 \x85 'quoted' \"twice\" \\ {{}} \t" for number in range(lines))
    (tmp_path / "program.py").write_text(REPORTS.format(kind=kind))
    with pytest.raises(TemperError) as raised:
        ran(shlex.join([sys.executable, str(tmp_path / "program.py"), text]))
    assert type(raised.value) is TREE[kind]
    assert str(raised.value) == text


def test_the_exit_code_says_whether_to_try_again_where_nothing_else_does() -> None:
    with pytest.raises(Unavailable, match=r"^toy failed with exit code 75\. Its last lines:\n    away$"):
        ran("echo away; exit 75")


@pytest.mark.parametrize(
    ("program", "messages"),
    [
        ("print('one')", []),
        ("from tasks.core import errors, reporting; reporting.report(errors.InputError('a\\nb'))", ["a\nb"]),
        ("import os; os.kill(os.getpid(), 15)", ["python -m asked was killed by SIGTERM. Run again to continue."]),
        ("raise SystemExit('no')", ["python -m asked failed with exit code 1. Its last lines:\n    no"]),
    ],
)
def test_a_module_is_asked_for_its_lines_and_errors(
    program: str, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asked.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    answer = ask("asked")
    assert [str(error) for error in answer.errors] == messages
    if not messages:
        assert answer.checked() == ["one"]
    else:
        with pytest.raises(type(answer.errors[0])):
            answer.checked()


@pytest.mark.parametrize("text", ["sleep 600", "trap '' TERM; echo up; while :; do sleep 600; done"])
def test_stopping_ends_what_runs_and_starts_nothing_more(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.system.process.GRACE", 0.2)
    children = Children()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            ran(text, children)
        except StageFailed as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    until(lambda: children._running)
    children.stop()
    worker.join()
    assert str(failures[0]) == "toy was stopped before it finished."
    with pytest.raises(StageFailed, match="toy was not started: the run was stopped"):
        ran("true", children)
