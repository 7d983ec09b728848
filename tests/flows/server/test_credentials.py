"""The password of the servers of this user: where it is kept, and whom it goes to."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.server import credentials
from tasks.core.errors import MachineError
from tests.flows.project import ROOT


def test_the_password_is_in_a_file_of_the_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    password = credentials.own()
    name, _, secret = password.partition(":")
    assert name == "temper"
    assert len(base64.urlsafe_b64decode(secret)) == 24
    assert credentials.own() == password
    assert credentials.file().stat().st_mode & 0o777 == 0o600
    assert credentials.file().parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in credentials.file().parent.iterdir()] == ["server-password"]
    credentials.file().chmod(0o640)
    with pytest.raises(MachineError, match="can be read by others"):
        credentials.own()
    credentials.file().unlink()
    credentials.file().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MachineError, match="cannot be read"):
        credentials.own()
    credentials.file().unlink()
    credentials.file().parent.chmod(0o777)
    with pytest.raises(MachineError, match="can be written by others"):
        credentials.own()


def test_the_password_goes_to_nobody_elses_server(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert credentials.known(api)
    assert credentials.known("http://192.0.2.1:4200/api") == credentials.known("https://temper.example/api") == ""
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert credentials.known(api) == ""


def test_a_run_without_a_server_has_one_that_wants_a_password(tmp_path: Path) -> None:
    program = (
        "import os; from flows.server import connect; connect.PORT = 1; print(connect.choose(print) == '');"
        "from prefect.settings import get_current_settings as s; a, c = s().server.api, s().api;"
        "print(a.auth_string.get_secret_value() == c.auth_string.get_secret_value(), repr(a.cors_allowed_origins))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment |= {"PREFECT_API_URL": "http://127.0.0.1:1/api", "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["True", "True ''"]
