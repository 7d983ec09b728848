"""A project of three stages, without Prefect: what they write is worked out here, in the process of the test."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from dvc.repo import Repo
from ruamel.yaml import YAML

from flows.bridge import ensure_current, sort_lockfile, survey
from flows.system.process import Command

PIPELINE = """\
stages:
  rows: {cmd: rows, deps: [seed.txt], outs: [data/rows.txt], metrics: [data/ledger.json: {cache: false}]}
  model: {cmd: model, deps: [data/rows.txt], params: [rate], outs: [data/model]}
  report: {cmd: report, deps: [data/model], outs: [data/report.txt]}
"""

ASKED = """\
  asked:
    cmd: asked
    deps: [seed.txt]
    params: [rate]
    outs: [data/asked.txt, data/record.jsonl: {persist: true}]
"""
"""One more stage, with a record of responses: what it has on none it pays for."""

OUTS = {"rows": ["data/rows.txt", "data/ledger.json"], "model": ["data/model"], "report": ["data/report.txt"]}


class Project:
    """The project in a folder, the current one of the test; all of its stages have run. `more` are further stages."""

    def __init__(self, path: Path, link: str, more: str = "") -> None:
        self.path = path
        self.lines: list[str] = []
        """What people were told in the last run."""
        (path / "data").mkdir()
        (path / "dvc.yaml").write_text(PIPELINE + more)
        (path / "params.yaml").write_text("rate: 0.1\n")
        (path / "seed.txt").write_text("seed\n")
        subprocess.run(["git", "init", "--quiet"], cwd=path, check=True)
        with Repo.init(str(path)) as repo, repo.config.edit("repo") as config:
            config["cache"] = {"type": [link]}
        assert self.run() == dict.fromkeys([*OUTS, "asked"] if more else OUTS, "ran")
        self.lock = Path("dvc.lock").read_bytes()
        self.bytes = self.written()
        self.first = self._everything()

    def run(self, *force: str, remote: str | None = None) -> dict[str, str]:
        """Make every stage current; return those that were not, with how they became so."""
        self.lines = []
        hows = {}
        for status in survey(self.lines.append):
            force_it = status.name in force
            outcome = ensure_current(status.name, work, force=force_it, tell=self.lines.append, remote=remote)
            hows[status.name] = outcome.how
        sort_lockfile()
        return {name: how for name, how in hows.items() if how != "unchanged"}

    def out(self, path: str) -> Path:
        """The object of an output, of the folder's list where it is a folder."""
        stages = YAML(typ="safe").load(self.lock)["stages"].values()
        return cached(next(out["md5"] for stage in stages for out in stage["outs"] if out["path"] == path))

    def written(self) -> dict[str, bytes]:
        """Every file that the stages wrote, with what is in it."""
        return {str(file): file.read_bytes() for file in sorted(Path("data").rglob("*")) if file.is_file()}

    def is_as_made(self) -> bool:
        """Whether nothing of it differs from when it was made, what was put aside left out, which is removed."""
        for file in self.aside():
            file.unlink()
        return self._everything() == self.first

    def _everything(self) -> dict[str, tuple[int, int, bytes]]:
        """Every file of the project and of its cache: its mode and kind, how many names it has, and what is in it."""
        folders = [*Path("data").rglob("*"), *Path(".dvc/cache").rglob("*"), *Path().glob("*"), Path(".dvc/config")]
        files = [file for file in folders if file.is_file()]
        return {str(file): (file.lstat().st_mode, file.lstat().st_nlink, file.read_bytes()) for file in files}

    def aside(self) -> list[Path]:
        """What was put aside."""
        return sorted(Path(".dvc/cache/damaged").glob("*"))


def cached(md5: str) -> Path:
    return Path(".dvc/cache/files/md5") / md5[:2] / md5[2:]


def remove(stage: str) -> None:
    """Remove what a stage wrote."""
    for path in map(Path, OUTS[stage]):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def work(command: Command) -> float:
    """Carry out a stage: 20,000 bytes that follow from what it reads."""
    if command.stage == "rows":
        Path("data/rows.txt").write_text(_text("seed.txt"))
        Path("data/ledger.json").write_text('{"in": 3}\n')
    elif command.stage == "model":
        Path("data/model/deep").mkdir(parents=True)
        Path("data/model/weights.bin").write_text(_text("data/rows.txt", "params.yaml"))
        Path("data/model/deep/config.json").write_text(json.dumps({"layers": 2}))
    elif command.stage == "report":
        Path("data/report.txt").write_text(_text("data/model/weights.bin"))
    else:
        _ask(Path("data/record.jsonl"))
    return 0.1


def _ask(record: Path) -> None:
    """Write what is on record of one request, which the rate names, or answer it."""
    key = hashlib.sha256(Path("params.yaml").read_bytes()).hexdigest()
    known = {line[9:73]: line for line in record.read_text().splitlines(keepends=True)} if record.exists() else {}
    known.setdefault(key, json.dumps({"key": key, "response": {"text": Path("params.yaml").read_text()}}) + "\n")
    record.write_text("".join(known[key] for key in sorted(known)))
    Path("data/asked.txt").write_text(known[key])


def _text(*paths: str) -> str:
    digest = hashlib.sha256(b"".join(Path(path).read_bytes() for path in paths)).hexdigest()
    return "\n".join(hashlib.sha256(f"{digest}{line}".encode()).hexdigest() for line in range(310))
