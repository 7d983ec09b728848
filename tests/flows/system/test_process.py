"""A stage's process: what it says, how it fails, how it is ended."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from flows.system.process import Children, Command
from tasks.core.errors import StageFailed
from tests.flows.project import until


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


def test_progress_that_is_cut_off_is_a_line() -> None:
    lines, progress = ran("""echo '::progress {"done"'""")
    assert (lines, progress) == (['::progress {"done"'], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo noise; echo 'nf4: two\nlines' >&2; exit 1; nf4", "^nf4: two\nlines$"),
        ("echo 'oh dear' >&2; exit 3", "^toy failed with exit code 3. Its last lines:\n    oh dear$"),
        ("echo 'on stdout'; exit 3", "    on stdout$"),
        ("kill -9 $$", "^toy was ended by SIGKILL. If nobody did that, the machine ran out of memory"),
        ("echo 'nf4: needs 3 GiB of memory'; kill -9 $$; nf4", "^toy was ended by SIGKILL"),
        ("kill -15 $$", "^toy was ended by SIGTERM. Run again to go on.$"),
        ("/no/such/program", "^toy failed with exit code 127"),
    ],
)
def test_a_failure_is_told_in_the_stages_own_words(text: str, message: str) -> None:
    with pytest.raises(StageFailed, match=message):
        ran(text)


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
    assert str(failures[0]) == "toy was stopped before it ended."
    with pytest.raises(StageFailed, match="toy was not started: the run was stopped"):
        ran("true", children)
