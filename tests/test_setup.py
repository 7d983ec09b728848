"""`infra/venv` takes the best fitting Python that is here, has uv fetch one where none is, and says what is missing."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "infra" / "venv"

PYTHON = """#!{bash}
case "$1 $2" in
    "-c "*) echo {version} ;;
    "-m venv")
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        printf '#!{bash}\\ncp {uv} "${{0%%pip}}uv"\\n' > "$3/bin/pip"
        chmod +x "$3/bin/pip"
        exit {status} ;;
esac
"""
"""A Python that knows its version and makes an environment; `pip` there installs the uv of `Machine`."""

UV = """#!{bash}
echo "$@" >> {log}
for folder in "$@"; do :; done
"{python}" -m venv "$folder"
exit {status}
"""


class Machine:
    """A PATH with the commands that a test puts there, and no others."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.target = folder, folder / "bin", folder / "venv"
        self.bin.mkdir()
        self.log = folder / "uv.log"
        for name in ("bash", "chmod", "cp", "env", "mkdir", "mktemp", "rm"):
            (self.bin / name).symlink_to(shutil.which(name) or "")
        self.spare_uv = folder / "spare-uv"
        self.python("fetched", "3.11", into=folder)
        self.uv(self.spare_uv)

    def python(self, name: str, version: str, status: int = 0, into: Path | None = None) -> Path:
        text = PYTHON.format(bash=self.bin / "bash", version=version, uv=self.spare_uv, status=status)
        return self._write((into or self.bin) / name, text)

    def uv(self, file: Path, status: int = 0) -> None:
        python = self.folder / "fetched"
        self._write(file, UV.format(bash=self.bin / "bash", log=self.log, python=python, status=status))

    def shim(self, name: str) -> None:
        """As pyenv has it: the name is there, and does not run."""
        self._write(self.bin / name, f"#!{self.bin / 'bash'}\nexit 127\n")

    def make(self, *versions: str) -> tuple[str, str]:
        """The version of the Python in the new environment, "" of none, and what was said."""
        environment = {"PATH": str(self.bin), "HOME": str(self.folder), "PYENV_ROOT": str(self.folder / "pyenv")}
        done = subprocess.run([SCRIPT, self.target, *versions], env=environment, capture_output=True, text=True)
        if done.returncode:
            assert done.returncode == 1
            assert not self.target.exists()
            return "", done.stderr
        there = subprocess.run([self.target / "bin" / "python", "-c", ""], capture_output=True, text=True, check=True)
        return there.stdout.strip(), done.stderr

    def _write(self, file: Path, text: str) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
        return file


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("here", "asked", "taken"),
    [
        ({"python3.11": "3.11", "python3.12": "3.12", "python3.13": "3.13"}, (), "3.11"),
        ({"python3.12": "3.12", "python3.13": "3.13"}, (), "3.12"),
        ({"python3": "3.13"}, (), "3.13"),
        ({"python": "3.12", "python3": "3.14"}, (), "3.12"),
        ({"python3.11": "3.11", "python3.13": "3.13"}, ("3.13",), "3.13"),
        ({"python3.11": "3.11", "python3.12": "3.12"}, ("3.13", "3.12"), "3.12"),
        ({"python3.11": "3.11", "../pyenv/versions/3.13.4/bin/python": "3.13"}, ("3.13",), "3.13"),
    ],
)
def test_the_first_version_that_is_here(
    machine: Machine, here: dict[str, str], asked: tuple[str, ...], taken: str
) -> None:
    for name, version in here.items():
        machine.python(name, version)
    assert machine.make(*asked) == (taken, "")


def test_a_name_that_does_not_run_is_passed_over(machine: Machine) -> None:
    machine.shim("python3.11")
    machine.python("python3.13", "3.13")
    assert machine.make() == ("3.13", "")


def test_an_environment_made_by_hand_stays(machine: Machine) -> None:
    machine.python("python3.11", "3.11")
    machine.python("python", "3.13", into=machine.target / "bin")
    assert machine.make("3.13") == ("3.13", "")
    machine.python("python", "3.10", into=machine.target / "bin")
    assert machine.make() == ("3.11", "")


@pytest.mark.parametrize("others", [{}, {"python3": "3.9"}, {"python3": "3.14"}])
def test_uv_fetches_one_where_none_is_here(machine: Machine, others: dict[str, str]) -> None:
    """The uv of the PATH, or one that the pip of another Python installs for this one use."""
    for name, version in others.items():
        machine.python(name, version)
    if not others:
        machine.uv(machine.bin / "uv")
    assert machine.make() == ("3.11", "Python 3.11, 3.12 or 3.13 is missing here; uv fetches 3.11 ...\n")
    assert machine.log.read_text() == f"venv --quiet --seed --allow-existing --python 3.11 {machine.target}\n"


def test_nothing_to_begin_with(machine: Machine) -> None:
    taken, message = machine.make()
    assert taken == ""
    assert "Python 3.11, 3.12 or 3.13 is missing, and could not be fetched: put one on the PATH" in message
    assert message.endswith("Then run make again.\n")


def test_a_python_without_the_module_venv(machine: Machine) -> None:
    """As Debian installs it: the command is there, and what makes environments is in another package."""
    machine.python("python3.12", "3.12", status=1)
    taken, message = machine.make()
    assert taken == ""
    assert message == (
        "Python 3.12 cannot make virtual environments here: install its module venv "
        "(Debian, Ubuntu: apt-get install python3.12-venv), or uv. Then run make again.\n"
    )
    machine.uv(machine.bin / "uv")
    assert machine.make() == ("3.11", "")  # the stub's; it was asked for the one that is here
    assert f"--python {machine.bin / 'python3.12'} {machine.target}" in machine.log.read_text()
