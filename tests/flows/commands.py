"""The real `dvc` command in a process of its own, forked from one that has loaded DVC: that takes most of its time."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

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

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__, *LOADED])


def dvc(arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run `dvc` in that folder to its end; return its exit code, and what it wrote to both its streams."""
    with tempfile.NamedTemporaryFile() as output:
        command = processes.Process(target=_run, args=(arguments, folder, dict(environment), output.name))
        command.start()
        command.join()
        code, text = command.exitcode, output.read().decode()
        command.close()
    assert code is not None
    return code, text


def _run(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], output: str) -> None:
    from dvc.cli import main

    with Path(output).open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(main([*arguments]))
