"""Answers by vLLM: refused before a run where it cannot be had, and fed with the weights as they are where it can.

There is no card here, and no vLLM: a stand-in answers by transformers, within the process or behind HTTP.
"""

import importlib.metadata
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks.align import generation, stage, starts
from tasks.align.settings import Settings
from tasks.core.errors import MachineError, SettingsError
from tasks.core.files import write_text
from tasks.core.paths import Paths
from tasks.models import for_vllm
from tasks.train.settings import Settings as Train
from tests.tasks import support, tiny, vllm_standin
from tests.tasks.align.test_sampling import settings_with

VLLM: dict[str, Any] = {"engine": "vllm"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "online_dpo", "generation": VLLM}, "online_dpo: its trainer in trl sends the engine texts"),
        ({"objective": "gkd", "teacher": "t", "generation": VLLM}, "gkd: its trainer in trl supports no engine"),
        ({"objective": "dpo", "generation": VLLM}, "dpo: it generates no answers"),
        ({"objective": "reward", "generation": VLLM}, "choose one of these objectives: grpo, gmpo, rloo, ppo"),
        ({"generation": {"memory": 0.5}}, "memory has no effect with engine model"),
        ({"generation": {"server": "http://a:1"}}, "server has no effect with engine model"),
        ({"generation": {**VLLM, "server": "http://a:1", "memory": 0.5}}, "memory has no effect with a server"),
        ({"generation": {**VLLM, "port": 9}}, "port has no effect without server"),
        ({"generation": {**VLLM, "memory": 1}}, "memory"),
        ({"generation": {**VLLM, "server": "a:8000"}}, "must be a URL such as"),
        ({"generation": {**VLLM, "server": "http://me:secret@a:8000"}}, "without user name or password"),
        ({"generation": VLLM, "launch": {"processes": 2}}, "is untested with several processes"),
        ({"generation": VLLM, "arguments": {"loss_type": "vespo"}}, "vespo is untested"),
        ({"generation": VLLM, "arguments": {"cache_implementation": "static"}}, "cache_implementation has no effect"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.model_validate({"objective": "grpo", "batch_size": 8, **values})


@pytest.mark.parametrize(
    ("train", "align", "message"),
    [
        ({"method": "qlora"}, {}, r"quantised weights \(nf4\)"),
        ({"method": "lora", "quantization": "int8"}, {}, r"quantised weights \(int8\)"),
        ({"method": "vera"}, {}, "an adapter by vera"),
        ({"method": "dora"}, {}, "an adapter with use_dora"),
        ({"peft": {"lora_bias": True}}, {}, "an adapter with lora_bias"),
        ({}, {"start": "base", "method": "prompt_tuning"}, "an adapter by prompt_tuning"),
        ({"method": "vera"}, {"start": "base", "method": "full"}, None),
        ({"method": "rslora"}, {}, None),
    ],
)
def test_what_cannot_be_merged_for_the_engine_is_refused(
    train: dict[str, Any], align: dict[str, Any], message: str | None
) -> None:
    settings = settings_with(generation=VLLM, rewards=[{"kind": "exact_match"}], **align)
    if message is None:
        starts.check(settings, Train.model_validate(train))
        return
    with pytest.raises(SettingsError, match=message):
        starts.check(settings, Train.model_validate(train))


def test_vllm_that_is_not_here_is_refused_before_a_run_but_not_for_workers_of_a_queue(tmp_path: Path) -> None:
    settings, paths = settings_with(generation=VLLM, rewards=[{"kind": "exact_match"}]), Paths(tmp_path)
    with pytest.raises(
        MachineError, match=r"which is not installed here; run: pip install 'vllm>=0\.22\.0,<=0\.31\.0'"
    ):
        stage.validate(settings, paths)
    write_text(paths.policies, "queues: [gpu]\n")
    stage.validate(settings, paths)
    write_text(paths.policies, "queues: [big]\nstages: {align: {queue: big}}\n")
    stage.validate(settings, paths)
    with pytest.raises(MachineError, match="not installed here"):
        stage.run(settings, paths)
    write_text(paths.policies, "queues: []\nstages: {}\n")
    with pytest.raises(MachineError, match="not installed here"):
        stage.validate(settings, paths)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.21.9", r"trl does not support vLLM 0\.21\.9; install a version from 0\.22\.0 to 0\.31\.0"),
        ("0.32.0", r"does not support vLLM 0\.32\.0"),
        ("0.30.1+cu129", "this machine has none"),
        ("0.22.0", "this machine has none"),
    ],
)
def test_a_version_that_trl_does_not_know_and_a_machine_without_a_card(
    version: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(for_vllm, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    with pytest.raises(MachineError, match=message):
        generation.check_machine(settings_with(generation=VLLM, rewards=[{"kind": "exact_match"}]))


def test_the_versions_are_those_that_trl_names() -> None:
    from trl.import_utils import is_vllm_available

    source = inspect.getsource(is_vllm_available)
    assert f'Version("{for_vllm.OLDEST}") <= _vllm_base_version <= Version("{generation.NEWEST}")' in source


class Server:
    """What a `vllm serve` says of itself and answers, as trl's client asks it."""

    def __init__(self, model: Any = None, weights: Path | None = None, **facts: Any) -> None:
        self.model, self.weights, self.facts = model, weights, facts
        self.generator = vllm_standin.seeded(0)
        self.asked: list[str] = []

    def get(self, path: str) -> tuple[int, Any]:
        if path in self.facts.get("statuses", {}):
            return self.facts["statuses"][path], {}
        config = {
            "weight_transfer_config": self.facts.get("transfer", {"backend": "nccl"}),
            "model_config": {"logprobs_mode": self.facts.get("mode", "processed_logprobs")},
        }
        served = self.facts.get("served", "base")
        return 200, {
            "/health": {},
            "/v1/models": {"data": [{"id": served, "root": served}]},
            "/server_info": {"vllm_config": config},
            "/get_world_size": {"world_size": 1},
        }.get(path, self.facts.get("else", {}))

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(path)
        if path == "/finish_weight_update" and self.weights:
            vllm_standin.load_weights(self.model, torch.load(self.weights, weights_only=True).items())
        if path == "/reset_prefix_cache":
            return 200, {"success": True}
        if path != "/v1/completions":
            return 200, {}
        choices = []
        for prompt in body["prompt"]:
            for _ in range(body["n"]):
                ids, likelihoods, _ = vllm_standin.answer(self.model, prompt, body, self.generator)
                tokens = [f"token_id:{token}" for token in ids]
                logprobs = {"tokens": tokens, "token_logprobs": likelihoods, "top_logprobs": [None] * len(ids)}
                choices.append({"prompt_token_ids": prompt, "token_ids": ids, "logprobs": logprobs})
        return 200, {"choices": choices}


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """The address at which `server` answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*server.get(self.path.partition("?")[0]))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send(*server.post(self.path, json.loads(body or b"{}")))

        def _send(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, None),
        ({"served": "models/base"}, None),
        ({"served": "other/model"}, "it serves other/model, but the base is base"),
        ({"transfer": None}, "without --weight-transfer-config"),
        ({"mode": "raw_logprobs"}, "raw_logprobs"),
        ({"statuses": {"/health": 503}}, "not ready"),
        ({"statuses": {"/server_info": 404}}, "without VLLM_SERVER_DEV_MODE=1"),
        ({"statuses": {"/v1/models": 404}}, "the server there is not vLLM"),
    ],
)
def test_a_server_is_asked_whether_it_can_serve_the_training(facts: dict[str, Any], message: str | None) -> None:
    with serving(Server(**facts)) as address:
        problems = list(generation.server_problems(address, "base"))
    assert len(problems) == (message is not None)
    for problem in problems:
        assert str(message) in problem
        assert problem.startswith(f"align.generation.server = {address}: ")


def test_a_server_that_is_not_there_is_told_with_the_command_that_starts_one() -> None:
    with serving(Server()) as address:
        pass
    (problem,) = generation.server_problems(address, "org/base")
    assert (
        "no server answers there (ConnectError); start one with: VLLM_SERVER_DEV_MODE=1 vllm serve org/base" in problem
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_engine_gets_the_weights_with_the_adapter_and_the_base_stays(tmp_path: Path, dtype: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    from trl.generation.vllm_generation import VLLMGeneration

    from tasks.training.private_trl import send_merged

    folder = tiny.model(tmp_path / "base", vocabulary=64, dtype=dtype)
    tiny.adapter(tmp_path / "adapter", folder)
    kind = getattr(torch, dtype)

    def tuned() -> Any:
        return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype=kind), tmp_path / "adapter")

    model = tuned()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    engine: Any = object.__new__(VLLMGeneration)
    engine.model = model
    send_merged(SimpleNamespace(vllm_generation=engine))
    sent = {name: value.clone() for name, value in engine._iter_named_params()}
    merged = tuned().merge_and_unload()
    expected = dict(merged.named_parameters())
    assert sorted(sent) == sorted(expected)
    for name, value in expected.items():
        assert sent[name].dtype == value.dtype
        torch.testing.assert_close(sent[name], value.data, rtol=8e-3 if dtype == "bfloat16" else 1e-6, atol=1e-6)
    assert any(
        not torch.equal(sent[name], value)
        for name, value in AutoModelForCausalLM.from_pretrained(folder, dtype=kind).named_parameters()
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "no bit has changed"


TRAINS = """
import sys
from pathlib import Path
sys.path.insert(0, "site")
import torch
from tasks.align import generation, stage
from tasks.align.settings import Settings
from tasks.core.paths import Paths
generation.check_machine = lambda settings: None  # it asks for a card
from trl.generation.vllm_client import VLLMClient
def update(self, metadata, named):  # in the place of NCCL, which needs cards
    self._start_weight_update()
    torch.save({name: value.contiguous() for name, value in named}, "weights.pt")
    self._finish_weight_update()
VLLMClient.init_communicator = lambda self, device: None
VLLMClient.update_named_params = update
settings = Settings.model_validate_json(Path("settings.json").read_text())
stage.run(settings, Paths(Path.cwd()))
"""


def trained(paths: Paths, settings: Settings) -> list[float]:
    """Train in a process of its own, which finds the stand-in; return the rewards by step."""
    vllm_standin.install(paths.root / "site")
    write_text(paths.root / "settings.json", settings.model_dump_json())
    ran = subprocess.run([sys.executable, "-c", TRAINS], cwd=paths.root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return support.column(paths.aligned / "loss.csv", "reward")


@pytest.mark.long
@pytest.mark.parametrize(
    ("objective", "start"), [("grpo", "train"), ("rloo", "base"), ("gmpo", "train"), ("ppo", "base")]
)
def test_what_an_engine_in_the_process_answers_is_learned_from(tmp_path: Path, objective: str, start: str) -> None:
    paths = support.project(tmp_path)
    several: dict[str, Any] = {
        "steps": 12,
        "batch_size": 64,
        "learning_rate": 3e-2,
        "answer_tokens": 3,
        "checkpoint_steps": 12,
    }
    if objective == "ppo":
        several["arguments"] = {"num_iterations": 1, "value_learning_rate": 1e-3, "beta": 0.01}
    rewards = trained(paths, settings_with(objective=objective, start=start, generation=VLLM, **several))
    assert sum(rewards[-4:]) > sum(rewards[:4])
    weights = len(list(_base(paths).parameters()))
    assert (tmp_path / "syncs.txt").read_text().split() == [str(weights)] * 12, "all weights, once a step"


@pytest.mark.long
def test_a_whole_model_goes_to_an_engine_in_the_process(tmp_path: Path) -> None:
    paths = support.project(tmp_path)
    several = {"steps": 4, "batch_size": 32, "answer_tokens": 3, "learning_rate": 1e-3}
    trained(paths, settings_with(start="base", method="full", generation=VLLM, **several))
    assert len((tmp_path / "syncs.txt").read_text().split()) == 4


@pytest.mark.long
def test_what_a_server_answers_is_learned_from(tmp_path: Path) -> None:
    paths = support.project(tmp_path)
    server = Server(_base(paths).eval(), tmp_path / "weights.pt")
    several = {"steps": 12, "batch_size": 64, "learning_rate": 3e-2, "answer_tokens": 3}
    with serving(server) as address:
        rewards = trained(paths, settings_with(generation={**VLLM, "server": address}, **several))
    assert sum(rewards[-4:]) > sum(rewards[:4])
    assert server.asked.count("/v1/completions") == server.asked.count("/finish_weight_update") == 12


def _base(paths: Paths) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(paths.base / "model", dtype=torch.float32)
