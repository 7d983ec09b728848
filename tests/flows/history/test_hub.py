"""`temper push` against a stand-in for the hub that speaks its HTTP: what arrives is what was made."""

import base64
import hashlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from flows.cli.main import main
from flows.history.hub import ask_hub, prepare_upload, push
from tasks.core.errors import InputError, MachineError, SettingsError


class Hub:
    """A hub for one user, `me`, with the token `right`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.messages: list[str] = []
        self.requests = 0
        self.me: dict[str, Any] = {"name": "me", "type": "user", "orgs": [{"name": "team", "roleInOrg": "write"}]}
        self.models: dict[str, dict[str, Any]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: Any) -> None: ...

            def answer(self, value: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
                text = json.dumps(value).encode()
                self.send_response(code)
                for name, text_value in (headers or {}).items():
                    self.send_header(name, text_value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def do_PUT(self) -> None:
                hub.objects[self.path.rpartition("/")[2]] = self.body()
                self.answer({})

            def do_GET(self) -> None:
                if self.headers.get("Authorization") != "Bearer right":
                    self.answer({"error": "Invalid username or password."}, 401)
                    return
                name = self.path.removeprefix("/api/models/")
                if self.path == "/api/whoami-v2":
                    self.answer(hub.me)
                elif name == "me/closed":
                    self.answer({"error": "restricted"}, 403, {"X-Error-Code": "GatedRepo"})
                elif name in hub.models:
                    self.answer({"id": name, "sha": "0" * 40, "siblings": [], **hub.models[name]})
                else:
                    self.answer({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})

            def do_POST(self) -> None:
                hub.requests += 1
                body = self.body()
                if self.headers.get("Authorization") != "Bearer right":
                    self.answer({"error": "Invalid username or password."}, 401)
                elif self.path == "/api/repos/create":
                    hub.created.append(json.loads(body))
                    self.answer({"url": f"{hub.address}/me/model", "name": "me/model", "id": "1"})
                elif "/preupload/" in self.path:
                    files = json.loads(body)["files"]
                    large = [{"path": f["path"], "uploadMode": "lfs", "shouldIgnore": False} for f in files]
                    for file in large:
                        if not file["path"].endswith(".safetensors"):
                            file["uploadMode"] = "regular"
                    self.answer({"files": large})
                elif self.path.endswith("/objects/batch"):
                    objects = [
                        {**item, "actions": {"upload": {"href": f"{hub.address}/objects/{item['oid']}"}}}
                        for item in json.loads(body)["objects"]
                    ]
                    self.answer({"transfer": "basic", "objects": objects})
                elif "/commit/" in self.path:
                    for line in map(json.loads, body.splitlines()):
                        value = line["value"]
                        if line["key"] == "header":
                            hub.messages.append(value["summary"])
                        elif line["key"] == "file":
                            hub.files[value["path"]] = base64.b64decode(value["content"])
                        else:
                            hub.files[value["path"]] = hub.objects[value["oid"]]
                    url = f"{hub.address}/me/model/commit/{'1' * 40}"
                    self.answer({"commitUrl": url, "commitOid": "1" * 40, "hookOutput": "", "success": True})
                else:
                    self.answer({})

        return Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    stand_in = Hub()
    thread = threading.Thread(target=stand_in.server.serve_forever)
    thread.start()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()
    thread.join()


@pytest.fixture
def merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "right")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the stand-in speaks the LFS protocol
    folder = tmp_path / "data" / "merged"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(hashlib.sha256(b"weights").digest() * 1000)
    (folder / "config.json").write_text("{}")
    (folder / "settings.json").write_text("{}")
    (folder / "merge.json").write_text(json.dumps({"method": "lora", "base": "f" * 64}))
    card = tmp_path / "data" / "report" / "model_card.md"
    card.parent.mkdir()
    card.write_text("# Card\n")
    (tmp_path / "dvc.yaml").write_text("stages:\n  merge: {cmd: merge, outs: [data/merged]}\n")
    subprocess.run(["git", "init", "--quiet"], check=True)
    with Repo.init() as repo:
        repo.commit("merge", force=True)
    return folder


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the hub's library, of httpx
def test_what_arrives_is_what_was_made(hub: Hub, merged: Path) -> None:
    address = push(prepare_upload("me/model", merged), private=True, endpoint=hub.address)
    assert address == f"{hub.address}/me/model/commit/{'1' * 40}"
    assert hub.created[0]["visibility"] == "private"
    assert set(hub.files) == {"model.safetensors", "config.json", "merge.json", "README.md"}
    assert hub.files["model.safetensors"] == (merged / "model.safetensors").read_bytes()
    assert hub.files["README.md"] == b"# Card\n"
    assert hub.messages == [f"merged: method lora, base {'f' * 64}"]


def test_a_dry_run_sends_nothing(hub: Hub, merged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "me/model", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "         32,000  model.safetensors" in output
    assert "README.md (from data/report/model_card.md)" in output
    assert "bytes to me/model" in output
    assert hub.requests == 0


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
@pytest.mark.parametrize("content", [hashlib.sha256(b"base").digest() * 1000, b"cut off", None])
def test_weights_of_another_model_are_neither_listed_nor_sent(
    merged: Path, content: bytes | None, options: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("flows.history.hub.ask_hub", lambda *_, **__: pytest.fail("the hub was asked"))
    weights = merged / "model.safetensors"
    weights.unlink()
    if content is not None:
        weights.write_bytes(content)
    assert main(["push", "me/model", *options]) == 1
    output, errors = capsys.readouterr()
    what = "is missing" if content is None else "has changed"
    assert errors.startswith(f"temper push: data/merged is not what merge wrote: model.safetensors {what}, by the")
    assert errors.count("\n") == 1
    assert not output


def test_a_token_that_may_not_write(hub: Hub, merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(
        MachineError, match=r"the hub rejected me/model: .*set HF_TOKEN to a token that has write access"
    ):
        push(prepare_upload("me/model", merged), private=True, endpoint=hub.address)
    assert not hub.files


def test_what_is_worth_knowing_is_said_first(hub: Hub, merged: Path) -> None:
    hub.models = {"me/model": {"private": False, "gated": "auto"}, "meta/llama": {"private": False, "gated": "manual"}}
    base = merged.parent / "base" / "base.json"
    base.parent.mkdir()
    base.write_text(json.dumps({"kind": "hub", "location": "meta/llama"}))
    notes = ask_hub(prepare_upload("me/model", merged), private=True, endpoint=hub.address)
    assert notes == [
        "me/model exists already: files with the same name are replaced",
        "me/model is public and stays public: everyone will see what is sent",
        "me/model is gated: readers must request access",
        "the base meta/llama is gated: its terms also apply to models made from it",
    ]
    notes = ask_hub(prepare_upload("team/new", merged), private=True, endpoint=hub.address)
    assert notes[0] == "team/new is new, and will be private"
    assert hub.requests == 0, "nothing was sent"


FINE: dict[str, Any] = {"role": "fineGrained", "fineGrained": {"global": [], "scoped": [
    {"entity": {"name": "me"}, "permissions": ["repo.content.read"]},
    {"entity": {"name": "me/mine"}, "permissions": ["repo.write"]},
]}}  # fmt: skip


@pytest.mark.parametrize(
    ("repository", "change", "message"),
    [
        ("else/model", {}, "else is neither me nor an organisation of me; push to one of: me, team."),
        (
            "team/model",
            {"orgs": [{"name": "team", "roleInOrg": "read"}]},
            "me may only read in team; ask an",
        ),
        (
            "me/model",
            {"auth": {"accessToken": {"role": "read"}}},
            "the token of me is read-only; set HF_TOKEN to one",
        ),
        ("me/model", {"auth": {"accessToken": FINE}}, "the token of me has no write access to me/model; add it at"),
        ("me/closed", {}, "me/closed is gated, and me has no access to it: request it at"),
    ],
)
def test_missing_access_is_said_before_anything_is_sent(
    hub: Hub, merged: Path, repository: str, change: dict[str, Any], message: str
) -> None:
    hub.me |= change
    with pytest.raises(InputError, match=re.escape(message)):
        ask_hub(prepare_upload(repository, merged), private=True, endpoint=hub.address)
    assert hub.requests == 0
    hub.me["auth"] = {"accessToken": FINE}
    if repository == "me/model":
        assert ask_hub(prepare_upload("me/mine", merged), private=True, endpoint=hub.address)


def test_a_token_that_is_wrong_or_missing(hub: Hub, merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = prepare_upload("me/model", merged)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(InputError, match=r"the hub rejects the token in HF_TOKEN: .*create one with write access"):
        ask_hub(upload, private=True, endpoint=hub.address)
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    with pytest.raises(InputError, match="you have no token for the hub: set HF_TOKEN"):
        ask_hub(upload, private=True, endpoint=hub.address)
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: "right")
    with pytest.raises(MachineError, match="cannot be reached"):
        ask_hub(upload, private=True, endpoint="http://127.0.0.1:9")


def test_bad_input(merged: Path) -> None:
    with pytest.raises(SettingsError, match="'model' is not a repository name; write organisation/name"):
        prepare_upload("model", merged)
    with pytest.raises(InputError, match="no such folder"):
        prepare_upload("me/model", merged / "missing")
    (merged / "merge.json").unlink()
    with pytest.raises(InputError, match="nothing proves that this is what was trained"):
        prepare_upload("me/model", merged)
