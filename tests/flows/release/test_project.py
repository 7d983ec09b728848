"""A project made from a release, and brought to the next one: nothing of its own is lost, all or nothing happens."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import rmtree

import pytest

from flows.cli.main import main
from flows.params.config import differences
from flows.params.defaults import defaults
from flows.params.model import change, check, model
from flows.release import new
from flows.system.git import git
from tasks.core.errors import InputError, MachineError, TemperError
from tasks.core.paths import PATHS
from tests.flows.project import ROOT


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release: the working tree as one commit, without the history."""
    folder = tmp_path_factory.mktemp("release") / "temper"
    folder.mkdir()
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for file in (os.fsdecode(name) for name in files if name):
        if (ROOT / file).is_file() and not file.startswith(("tests/", "docs/", "benchmarks/")):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    git("init", "--quiet", "--initial-branch=main", folder=folder)
    release(folder, "v1")
    return folder


def release(folder: Path, tag: str) -> None:
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", tag, folder=folder)
    git("tag", tag, folder=folder)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.unlink()  # it is a link to the tree under test
    file.write_text(text.replace(old, new))


@pytest.fixture
def project(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, the current folder."""
    folder = tmp_path / "mine"
    new.make(folder, "classify", source)
    monkeypatch.chdir(folder)
    return folder


def test_a_project_says_nothing_of_the_example_and_keeps_rows_out_of_git(project: Path) -> None:
    check(project / "params.yaml")
    values = {line.split(" ")[0]: line.rpartition(" -> ")[2] for line in differences(project / "params.yaml")}
    assert values["report.title"] == "mine"
    assert values["clean.input"] == "data/own"
    assert {name for name in values if name.startswith("report.")} == {"report.title"}
    texts = {name: value for name, value in defaults(model())["report"].items() if isinstance(value, str)}
    assert texts == {"language": "en"}
    assert "docker" not in (project / "params.yaml").read_text().lower()
    rows = ("data/own/rows.csv", "data/own/a b/.hidden/rows.jsonl", "data/mine/rows.csv", "data/rows.jsonl")
    for file in (*rows, "models/big/model.gguf"):
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text("text,label\nmy card is lost,lost\n")
    git("add", "--all")
    assert git("status", "--porcelain") == ""
    assert git("remote") == "temper"
    kept = ["data/clean/ledger.json", "data/decision/decision.json", "data/mine.dvc", "data/scoring/near.py"]
    for file in kept:
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).write_text("{}")
    listed = git("status", "--porcelain", "--untracked-files=all").splitlines()
    assert listed == [f"?? {file}" for file in kept]


def push(*arguments: str) -> str:
    """What git says of a push that fails."""
    done = subprocess.run(["git", "push", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode
    assert done.stderr.count("fatal:") - done.stderr.count("Could not read from remote") == 1
    return done.stderr


def test_no_push_of_a_project_reaches_the_release(project: Path, source: Path, tmp_path: Path) -> None:
    branch, before = git("branch", "--show-current"), git("show-ref", folder=source)
    assert git("for-each-ref", "--format=%(upstream)", "refs/heads") == ""
    git("tag", "model@v0.0.1")
    assert f"git push --set-upstream origin {branch}" in push()
    for arguments in (["--tags"], ["--set-upstream", "origin", "HEAD"]):
        assert "'origin' does not appear to be a git repository" in push(*arguments)
    for arguments in (["temper"], ["--tags", "temper"], ["--force", "temper", f"HEAD:{branch}"]):
        push(*arguments)
    assert new.REFUSED in push("temper", "HEAD")
    assert git("show-ref", folder=source) == before
    git("init", "--quiet", "--bare", str(tmp_path / "own"))
    git("remote", "add", new.OWN, str(tmp_path / "own"))
    git("push", "--quiet", "--set-upstream", new.OWN, "HEAD")
    git("push", "--quiet")
    git("push", "--quiet", "--tags")
    assert {"v1", "model@v0.0.1"} <= set(git("tag", folder=tmp_path / "own").split())
    assert git("show-ref", folder=source) == before
    assert upgrade() == ["This project already has v1."]


def test_a_project_of_a_release_that_stands_at_a_commit(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_a_commit, folder = tmp_path / "at", tmp_path / "mine"
    git("clone", "--quiet", str(source), str(at_a_commit))
    git("checkout", "--quiet", "--detach", folder=at_a_commit)
    assert main(["new", str(folder), "--source", str(at_a_commit), "--no-setup"]) == 0
    assert "git remote add origin URL" in capsys.readouterr().out
    assert git("remote", "get-url", "--push", new.UPSTREAM, folder=folder) == new.REFUSED
    assert git("remote", "get-url", new.UPSTREAM, folder=folder) == str(source)


def test_rows_are_tracked_as_one_folder_whose_hash_is_of_the_rows_alone(project: Path) -> None:
    from flows.deploy.events import add

    (project / "data/own/rows.csv").write_text("text,label\nmy card is lost,lost\n")
    assert add([new.DATA])
    assert sorted(path.name for path in new.DATA.iterdir()) == ["rows.csv"]
    assert git("ls-files", "data/own*") == "data/own.dvc"
    assert git("status", "--porcelain") == ""
    assert add([new.DATA]) == ""
    PATHS.collected.mkdir()
    (PATHS.collected / "sft.jsonl").write_text('{"messages": []}\n')
    assert git("status", "--porcelain") == "", "git leaves it alone before DVC has it, too"
    assert add([PATHS.collected])
    assert git("ls-files", f"{PATHS.collected}*") == f"{PATHS.collected}.dvc"


def test_a_model_is_tracked_so_that_a_clone_has_it(project: Path) -> None:
    from flows.bridge import checkout_inputs
    from flows.deploy.events import add

    model = Path(new.MODELS) / "small"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert add([model])
    assert git("ls-files", new.MODELS).splitlines() == [f"{new.MODELS}/.gitignore", f"{model}.dvc"]
    assert git("status", "--porcelain") == ""
    rmtree(model)
    checkout_inputs()
    assert (model / "config.json").read_text() == "{}"


def test_without_a_server_rows_are_just_tracked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.delenv("PREFECT_API_URL")  # what the command sets goes with the test
    for user in ("flows.server.connect", "flows.deploy.deployments"):
        monkeypatch.setattr(f"{user}.answers", lambda url: False)
    (project / "data/own/rows.csv").write_text("text,label\nmy card is lost,lost\n")
    assert main(["data", "add", "data/own"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Tracked and committed as") and "erver" not in printed.out + printed.err
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert main(["data", "add", "data/own"]) == 1
    assert "no Prefect server answers at http://127.0.0.1:9/api" in capsys.readouterr().err


def test_a_server_that_is_notified_of_rows_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notified: list[tuple[list[Path], str]] = []
    monkeypatch.setattr("flows.server.connect.answers", lambda url: True)
    monkeypatch.setattr("flows.deploy.deployments.server", lambda: "http://127.0.0.1:4299/api")
    monkeypatch.setattr("flows.deploy.events.tell", lambda *event: notified.append(event))
    rows = project / "data/own/rows.csv"
    rows.write_text("text,label\nmy card is lost,lost\n")
    assert main(["data", "add", "data/own"]) == 0
    assert "The Prefect server at http://127.0.0.1:4299 was notified (temper.data.changed)" in capsys.readouterr().out
    assert [paths for paths, _ in notified] == [[Path("data/own")]]
    rows.write_text("text,label\nmy card is here,here\n")
    assert main(["data", "add", "data/own", "--quiet"]) == 0
    assert "erver" not in capsys.readouterr().out and len(notified) == 1


@pytest.mark.parametrize("task", new.tasks(ROOT))
def test_settings_of_each_task_are_valid(task: str, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_bytes((ROOT / "params.yaml").read_bytes())
    assert change([], ROOT / new.TASKS / f"{task}.yaml", path=params)
    check(params)


def test_what_is_in_the_way_is_told_and_nothing_is_left(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    (tmp_path / "name").write_text("")
    for name, task, sentence in (
        ("full", None, "already exists and is not empty"),
        ("name", None, "already exists and is not empty"),
        ("new", "translate", "no such task; choose one of answer, chat, classify, code, continue, preference"),
        ("gone/new", None, "no such folder; create it first"),
    ):
        with pytest.raises(InputError, match=sentence):
            new.make(tmp_path / name, task, source)
    with pytest.raises(MachineError, match="git clone"):
        new.make(tmp_path / "new", None, tmp_path / "full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "name"]


def upgrade(*tag: str) -> list[str]:
    """What the command says, in a process with the project's own code; what it fails with is raised."""
    command = [sys.executable, "-m", "flows.cli.main", "upgrade", *tag]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        assert done.returncode == 1 and "Traceback" not in done.stderr
        raise TemperError(done.stderr)
    return done.stdout.splitlines()


def test_an_upgrade_keeps_what_the_project_set(source: Path, project: Path) -> None:
    """The next release renames a key, adds one, changes a default that the file shows, and mends code."""
    change(["decide.gain=0.25", "train.learning_rate=0.0007"], path=project / "params.yaml")
    (project / "data/scoring/mine.py").write_text("def score(output, reference, row):\n    return 1.0\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "mine")
    assert upgrade() == ["This project already has v1."]

    settings = source / "tasks/decide/settings.py"
    edit(settings, "    gain:", '    patience: int = 3\n    """Decisions to wait for (decisions)."""\n    margin:')
    edit(settings, "class Settings(Section):", 'class Settings(Section):\n    moved: ClassVar = {"gain": "margin"}')
    edit(settings, "from typing import", "from typing import ClassVar  # noqa: F811\nfrom typing import")
    edit(source / "params.yaml", "  gain: 0.0 ", "  patience: 3  # decisions to wait for\n  margin: 0.0 ")
    edit(source / "params.yaml", "  rows: 3000", "  rows: 4000")
    release(source, "v2")

    lines = upgrade()
    assert lines[0] == "Now at v2."
    assert "params.yaml: decide.gain is now called decide.margin" in lines
    text = (project / "params.yaml").read_text()
    assert "margin: 0.25" in text and "gain: 0.25" not in text
    assert "patience: 3  # decisions to wait for" in text
    assert "learning_rate: 0.0007" in text and "title: mine" in text and "input: data/own" in text
    assert "rows: 3000" in text, "what the release's example sets is none of the project's"
    assert (project / "data/scoring/mine.py").is_file()
    assert git("status", "--porcelain") == ""
    assert upgrade("v2") == ["This project already has v2."]

    changed = git("diff", "--name-only", "HEAD^", "HEAD").split("\n")
    assert changed == ["params.yaml", "tasks/decide/settings.py"], "no other stage has other code, so none runs again"

    edit(source / "README.md", "# temper", "# temper, once more")
    release(source, "v3")
    (project / "README.md").write_text("# Mine\n")
    git("add", "--all")
    with pytest.raises(TemperError, match="you have uncommitted changes; commit them first"):
        upgrade()
    git("commit", "--quiet", "--message", "readme")
    before = git("rev-parse", "HEAD")
    with pytest.raises(TemperError, match=r"have both changed README\.md; nothing was changed here"):
        upgrade()
    assert (git("rev-parse", "HEAD"), git("status", "--porcelain")) == (before, "")

    edit(source / "README.md", "# temper, once more", "# temper")
    edit(settings, "margin: ", "margin: Annotated[float, Field(le=0.1)] = 0.0\n    unused: ")
    release(source, "v4")
    with pytest.raises(TemperError, match=r"v4 does not accept a setting of this project:.*decide\.margin"):
        upgrade()
    assert (git("rev-parse", "HEAD"), git("status", "--porcelain")) == (before, "")
