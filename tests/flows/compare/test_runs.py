"""Runs that git keeps, read all at once: the same as one by one, with the seconds that stages took."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.bridge import parse, scan, scan_hashes
from flows.compare import runs as runs_module
from flows.compare.runs import flat, runs
from flows.history.committed import file_at, files_at
from flows.results import durations
from tasks.core.errors import MachineError
from tasks.core.paths import PATHS

LOCK = """schema: '2.0'
stages:
  train:
    cmd: python -m tasks train
    deps:
    - path: data/base
      hash: md5
      md5: d41d8cd98f00b204e9800998ecf8427e.dir
      size: 3
      nfiles: 1
    params:
      params.yaml:
        train:
          outs: 'no output'
    outs:
    - path: data/fitted
      hash: md5
      md5: {md5}.dir
      size: 3
      nfiles: 2
    - path: data/loss.csv
      hash: md5
      md5: 0cc175b9c0f1b6a831c399e269772661
      size: 1
  quantize@nf4:
    cmd: x
    outs:
    - path: data/quantized/nf4
      md5: 92eb5ffee6ae2fec3ad71c777531578f.dir
"""


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(rate: float, md5: str, message: str = "a run") -> str:
    Path("params.yaml").write_text(f"machine: {{price: 3600}}\ntrain: {{learning_rate: {rate}}}\n")
    Path("dvc.lock").write_text(LOCK.replace("{md5}", md5) + f"# {rate}\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", message)
    return git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    return tmp_path


def test_a_lock_file_is_scanned_as_it_is_parsed() -> None:
    text = LOCK.replace("{md5}", "f" * 32)
    assert scan(text) == {
        stage: {path: out.md5 for path, out in record.outs.items()} for stage, record in parse(text).items()
    }
    assert scan("") == scan("stages: [1]\n") == scan("stages:\n  a: 3\n") == {}
    items = [item for record in parse(text).values() for item in (*record.deps.items(), *record.outs.items())]
    hashes = {path: item.md5 for path, item in items}
    assert scan_hashes(text) == hashes and "data/base" in hashes and scan_hashes("") == {}


def test_what_changed_before_a_run_begins_with_the_inputs_that_people_gave(project: Path) -> None:
    """Neither code nor what a stage made, which follows."""
    commit(0.1, "a" * 32)
    own, code = (f"    - path: {path}\n      md5: {{}}\n" for path in ("data/own", "tasks/core"))
    follows = "    - path: data/fitted/weights\n      md5: {}\n"
    for number, rate in (("1", 0.2), ("2", 0.3)):
        text = LOCK.replace("{md5}", number * 32)
        inputs = "".join(line.format(number * 32) for line in (own, code, follows))
        Path("dvc.lock").write_text(text.replace("    deps:\n", f"    deps:\n{inputs}", 1))
        Path("params.yaml").write_text(f"train: {{learning_rate: {rate}}}\n")
        git("commit", "--quiet", "--all", "--message", "a run")
    assert runs()[0].changed == ["data/own changed", "train.learning_rate 0.2 -> 0.3"]


def test_files_are_read_together_as_one_by_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = commit(0.1, "a" * 32)
    Path("large").write_text("x" * 200)
    Path("binary").write_bytes(b"\xff")
    git("add", "--all")
    git("commit", "--quiet", "--message", "more")
    later, paths = git("rev-parse", "HEAD"), ["params.yaml", "none", "large", "binary"]
    monkeypatch.setattr("flows.history.committed.LARGEST", 150)
    first, second = files_at([revision, later], paths)
    assert first == [file_at(revision, "params.yaml").rstrip("\n") + "\n", "", "", ""]
    for text, path in zip(second[2:], paths[2:], strict=True):
        with pytest.raises(MachineError) as alone:
            file_at(later, path)
        assert str(text) == str(alone.value)
    assert list(files_at([], paths)) == []


def test_before_the_first_commit_of_a_run_the_sentence_says_how_to_make_one(project: Path) -> None:
    git("commit", "--quiet", "--allow-empty", "--message", "none")
    commands = "run `git add --all` and `git commit --message Run`"
    with pytest.raises(MachineError, match=f"no run is committed here yet: run `temper run`, then {commands}"):
        runs()
    Path("dvc.lock").write_text(LOCK)
    with pytest.raises(MachineError, match=f"no run is committed here yet: {commands}"):
        runs()


def test_seconds_come_from_messages_and_from_this_machine_and_go_with_what_was_made(project: Path) -> None:
    commit(0.1, "a" * 32, 'first\n\nTook: {"train": 30.5,\n  "merge": "x"}')
    commit(0.2, "a" * 32, "the same model")
    commit(0.3, "b" * 32, "another\n\nTook: [1]")
    commit(0.4, "c" * 32, "here")
    kept = Path(".dvc/tmp/durations.jsonl")
    kept.parent.mkdir(parents=True)
    outs = {"data/loss.csv": "0cc175b9c0f1b6a831c399e269772661", "data/fitted": f"{'c' * 32}.dir"}
    line = json.dumps({"stage": "train", "outs": outs, "seconds": 7})
    kept.write_text(f"{line}\n{line[:20]}")
    by_name = {run.name: run for run in runs()}
    assert {name: run.training for name, run in by_name.items()} == {
        "first": 30.5, "the same model": 30.5, "another": None, "here": 7.0,
    }  # fmt: skip
    assert by_name["here"].cost == 7.0 and by_name["another"].cost is None
    assert by_name["here"].changed == ["train.learning_rate 0.3 -> 0.4"]
    assert (by_name["here"].who, by_name["here"].settings["train.learning_rate"]) == ("a", 0.4)


def test_a_commit_is_read_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was read now or before, it is the same run; what cannot be used of the record is read anew."""
    comparison = {"candidates": {"merged": {"f1": {"value": 0.5, "low": 0.4}, "loss": {"value": 2, "better": "lower"}}}}
    Path("data/report").mkdir(parents=True)
    Path("data/report/comparison.json").write_text(json.dumps(comparison))
    commit(0.1, "a" * 32, "first")
    Path(".dvc/tmp").mkdir(parents=True)
    Path(".gitignore").write_text(".dvc\n")
    first = runs()
    read: list[str] = []
    whole = runs_module._read

    def noted(new: list[tuple[str, str]]) -> dict[str, Any]:
        read.extend(commit for commit, _ in new)
        return whole(new)

    monkeypatch.setattr(runs_module, "_read", noted)
    assert repr(runs()) == repr(first)  # NaN is not itself
    assert read == []
    later = commit(0.2, "b" * 32, "second")
    assert [run.changed for run in runs()] == [["train.learning_rate 0.1 -> 0.2"], []]
    assert read == [later]
    record = PATHS.compared.read_text()
    for damaged in ("", record[:-9], '{"version": 1}', "[]", record.replace('"scores": [[', '"scores": [[1], ['),
                    record.replace(json.loads(record)["version"], "0" * 64)):  # fmt: skip
        PATHS.compared.write_text(damaged)
        read.clear()
        assert repr(runs()[1]) == repr(first[0]), damaged
        assert len(read) == 2
    git("reset", "--quiet", "--hard", "HEAD~1")
    assert len(runs()) == 1
    assert list(json.loads(PATHS.compared.read_text())["runs"]) == [first[0].commit], "of runs that are gone nothing"


def test_what_ran_is_kept(project: Path) -> None:
    from flows.bridge import Outcome

    outcomes = {
        how: Outcome(how, how, [], {"out": "1" * 32}, seconds)  # type: ignore[arg-type]
        for how, seconds in (("ran", 3.21), ("unchanged", 0.1))
    }
    Path(".dvc/tmp").mkdir(parents=True)
    durations.keep(project, outcomes)
    assert durations.kept() == {("ran", (("out", "1" * 32),)): 3.2}
    assert durations.trailer(outcomes) == 'Took: {"ran": 3.2}'
    assert durations.in_trailer('{"ran": 3.2, "x": NaN}') == {"ran": 3.2}


def test_settings_are_flat_and_lists_stay() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": [1], "e": {}}, 1: 2}) == {"a.b.c": 1, "a.d": [1], "a.e": {}, "1": 2}
