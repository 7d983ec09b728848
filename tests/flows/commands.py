"""The real `dvc` command in a process of its own, forked from one that has loaded DVC: that takes most of its time."""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]

LOADED = (
    "configobj",
    "dvc.cachemgr",
    "dvc.cli.parser",
    "dvc.data_cloud",
    "dvc.dirs",
    "dvc.parsing.interpolate",
    "dvc.repo.artifacts",
    "dvc.repo.datasets",
    "dvc.repo.experiments.show",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.open_repo",
    "dvc.repo.plots",
    "dvc.repo.stage",
    "dvc.stage.run",
    "dvc.utils.strictyaml",
    "networkx",
    "pyparsing",
    "ruamel.yaml",
)
"""What the command would import while it runs."""


@cache
def _server() -> "subprocess.Popen[str]":
    """This file as a program, for as long as this process lives.

    Not multiprocessing's server for that: there is one a process, and stages fork from it what needs torch.
    """
    pipe = subprocess.PIPE
    server = subprocess.Popen([sys.executable, "-m", __name__], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    atexit.register(server.communicate)  # closes its streams, at which it ends
    return server


def dvc(arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run `dvc` in that folder to its end; return its exit code, and what it wrote to both its streams."""
    server = _server()
    assert server.stdin and server.stdout
    with tempfile.NamedTemporaryFile() as output:
        request = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        server.stdin.write(json.dumps({**request, "output": output.name}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return code, output.read().decode()


def _run(arguments: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    from dvc.cli import main

    with Path(output).open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(main(arguments))


def _serve() -> None:
    """For each line of standard input, a request, the exit code of a command."""
    for name in LOADED:
        import_module(name)
    for line in iter(sys.stdin.readline, ""):
        if not (child := os.fork()):
            _run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
