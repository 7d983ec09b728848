"""Exports: each format holds the merged model, and another reader of it computes and says the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, ModelError, SettingsError
from tasks.core.paths import Paths
from tasks.export.dialogues import PROMPTS
from tasks.export.settings import Settings
from tasks.export.stage import run
from tests.tasks import tiny

torch = pytest.importorskip("torch")

TEMPLATES = Path(__file__).parents[4] / "shared" / "data" / "chat-templates"

LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
    "+ m['content'] + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
OWN_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ '[INST] ' + m['content'] + ' [/INST]' if m['role'] == 'user' else ' ' + m['content'] + '</s>' }}{% endfor %}"
)
NUMBERED = "{% for m in messages %}{{ loop.index ~ m['role'] ~ ': ' ~ m['content'] ~ '\n' }}{% endfor %}"


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    """A project whose merged model is a random one."""
    paths = tiny.project(tmp_path)
    tokenizer = tiny.tokenizer()
    tiny.model(paths.merged, vocabulary=len(tokenizer))
    tokenizer.save_pretrained(paths.merged)
    return paths


def go(template: str, messages: list[dict[str, str]]) -> str:
    """A reader of that much of Go's template language: if, else if, else, range, end, eq, fields."""
    tokens = re.split(r"(\{\{.*?\}\})", template)
    system = next((message["content"] for message in messages if message["role"] == "system"), "")

    def value(expression: str, here: dict[str, str]) -> str:
        return {".Content": here.get("content", ""), ".Role": here.get("role", ""), ".System": system}[expression]

    def true(condition: str, here: dict[str, str]) -> bool:
        if match := re.fullmatch(r'eq (\.\w+) "(.*)"', condition):
            return value(match[1], here) == match[2]
        return bool(value(condition, here))

    def block(at: int, here: dict[str, str], on: bool) -> tuple[str, int]:
        text = ""
        while at < len(tokens):
            token = tokens[at]
            if not token.startswith("{{"):
                text += token if on else ""
                at += 1
                continue
            action = token[2:-2].strip()
            if action == "end" or action.startswith("else"):
                return text, at
            if action == "range .Messages":
                start = at + 1
                for message in messages:
                    part, at = block(start, message, on)
                    text += part
                at += 1
            elif action.startswith("if "):
                done, condition = False, action[3:]
                while True:
                    now = not done and true(condition, here)
                    part, at = block(at + 1, here, on and now)
                    text += part
                    done = done or now
                    if (ended := tokens[at][2:-2].strip()) == "end":
                        break
                    condition = ended.removeprefix("else if ") if ended.startswith("else if ") else ".System"
                    if ended == "else" and not done:
                        part, at = block(at + 1, here, on)
                        text += part
                        break
                    if ended == "else":
                        _, at = block(at + 1, here, False)
                        break
                at += 1
            else:
                text += value(action, here) if on else ""
                at += 1
        return text, at

    return block(0, {}, True)[0]


def template_of(modelfile: str) -> str:
    match = re.search(r'TEMPLATE """(.*?)"""', modelfile, re.DOTALL)
    assert match
    return match[1]


@pytest.mark.parametrize(
    "template", [tiny.CHATML, LLAMA3, OWN_SYSTEM, NO_SYSTEM], ids=["own", "llama3", "system", "none"]
)
def test_ollama_says_what_the_template_says(project: Paths, template: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(project.merged)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(project.merged)
    run(Settings(), project, "ollama")
    out = project.exported("ollama")
    modelfile = (out / "Modelfile").read_text()
    proved = 0
    for dialogue in PROMPTS:
        try:
            expected = tokenizer.apply_chat_template(dialogue, tokenize=False, add_generation_prompt=True)
        except Exception:
            continue
        assert go(template_of(modelfile), dialogue) == expected
        proved += 1
    assert proved == tiny.read(out / "export.json")["dialogues_rendered_alike"] >= 4
    assert modelfile.startswith("FROM ./model-q8_0.gguf\n")
    assert 'PARAMETER stop "<|im_end|>"' in modelfile
    assert "PARAMETER num_ctx 256" in modelfile
    assert (out / "model-q8_0.gguf").stat().st_size > 100_000


def test_a_template_that_is_more_than_a_frame(project: Paths) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(project.merged)
    tokenizer.chat_template = NUMBERED
    tokenizer.save_pretrained(project.merged)
    with pytest.raises(
        ModelError, match=r"cannot be expressed as an Ollama template: .*remove ollama from export\.formats"
    ):
        run(Settings(), project, "ollama")
    assert not project.exported("ollama").exists()


@pytest.mark.skipif(not TEMPLATES.is_dir(), reason="../shared/data is missing")
def test_real_templates_are_said_exactly_or_refused() -> None:
    """What is accepted renders alike, as read by a reader of Go's templates; at least a third are accepted."""
    from tasks.export.gotemplate import translate

    tokenizer = tiny.tokenizer()
    tokenizer.bos_token = "<s>"
    accepted = 0
    files = sorted(TEMPLATES.rglob("*.jinja"))
    for file in files:
        tokenizer.chat_template = file.read_text()
        try:
            frame = translate(tokenizer)
        except ModelError:
            continue
        accepted += 1
        for dialogue in PROMPTS:
            try:
                expected = tokenizer.apply_chat_template(dialogue, tokenize=False, add_generation_prompt=True)
            except Exception:
                continue
            assert go(frame.go(), dialogue) == expected, file.name
    print(accepted, len(files))
    assert accepted >= len(files) // 3


def test_every_stop_of_the_merged_model_is_in_the_modelfile(project: Paths) -> None:
    (project.merged / "generation_config.json").write_text('{"eos_token_id": [2, 1]}')
    run(Settings(gguf="f16"), project, "ollama")
    lines = (project.exported("ollama") / "Modelfile").read_text().splitlines()
    assert [line for line in lines if "stop" in line] == [
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop "<|im_start|>"',
    ]


def test_adapters_side_by_side(project: Paths) -> None:
    tiny.adapter(project.adapters / "other", project.base / "model")
    (project.merged / "generation_config.json").write_text('{"eos_token_id": [2, 1], "temperature": 0.6}')
    run(Settings(), project, "adapters")
    out = project.exported("adapters")
    for name in ("trained", "other", "tokenizer"):
        assert tiny.read(out / name / "generation_config.json") == {"eos_token_id": [2, 1], "temperature": 0.6}
    assert "--generation-config tokenizer" in (out / "serve.sh").read_text()
    facts = tiny.read(out / "export.json")
    assert facts["adapters"] == {"other": 4, "trained": 4}
    assert facts["base_sha256"] == tiny.read(project.base / "base.json")["sha256"]
    assert (out / "other" / "adapter_model.safetensors").read_bytes() == (
        project.adapters / "other" / "adapter_model.safetensors"
    ).read_bytes()
    assert tiny.read(out / "trained" / "adapter_config.json")["base_model_name_or_path"] == "model"
    assert "--lora-modules trained=trained other=other" in (out / "serve.sh").read_text()


def test_adapters_that_servers_do_not_take(project: Paths) -> None:
    config = tiny.read(project.trained / "adapter_config.json")
    (project.trained / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "LOHA"}))
    with pytest.raises(ModelError, match="of the kind LOHA; servers load plain LoRA only"):
        run(Settings(), project, "adapters")


def metas_llama(folder: Path, ids: Any) -> Any:
    """Meta's Llama in small, with its own way to rotate: logits (tokens, vocabulary)."""
    size = json.loads((folder / "params.json").read_text())
    weights = torch.load(folder / "consolidated.00.pth", weights_only=True)
    heads, keys, count = size["n_heads"], size["n_kv_heads"], len(ids)
    width = size["dim"] // heads

    def norm(x: Any, name: str) -> Any:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + size["norm_eps"]) * weights[f"{name}.weight"]

    angles = torch.outer(
        torch.arange(count).float(), size["rope_theta"] ** -(torch.arange(0, width, 2).float() / width)
    )
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]

    def rotated(x: Any) -> Any:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn).flatten(-2)

    x = weights["tok_embeddings.weight"][ids]
    mask = torch.full((count, count), float("-inf")).triu(1)
    for layer in range(size["n_layers"]):
        at = f"layers.{layer}"

        def by(x: Any, name: str, at: str = at) -> Any:
            return x @ weights[f"{at}.{name}.weight"].T

        h = norm(x, f"{at}.attention_norm")
        q = rotated(by(h, "attention.wq").view(count, heads, width))
        k = rotated(by(h, "attention.wk").view(count, keys, width)).repeat_interleave(heads // keys, 1)
        v = by(h, "attention.wv").view(count, keys, width).repeat_interleave(heads // keys, 1)
        scores = torch.einsum("qhd,khd->hqk", q, k) / width**0.5 + mask
        x = x + by(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(count, -1), "attention.wo")
        h = norm(x, f"{at}.ffn_norm")
        x = x + by(torch.nn.functional.silu(by(h, "feed_forward.w1")) * by(h, "feed_forward.w3"), "feed_forward.w2")
    return norm(x, "norm") @ weights["output.weight"].T


def test_meta_computes_the_same(project: Paths) -> None:
    from transformers import AutoModelForCausalLM

    run(Settings(), project, "meta")
    ids = torch.arange(3, 60)
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(project.merged)(ids[None]).logits[0]
    assert (metas_llama(project.exported("meta"), ids) - expected).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["ollama", "adapters", "meta", "torchtune", "litgpt", "cog"])
def test_same_bytes_twice_and_nothing_of_the_machine(project: Paths, name: str) -> None:
    def contents() -> dict[str, bytes]:
        return {str(f): f.read_bytes() for f in sorted(project.exported(name).rglob("*")) if f.is_file()}

    run(Settings(), project, name)
    before = contents()
    run(Settings(), project, name)
    assert contents() == before
    assert str(project.root).encode() not in b"".join(before.values())


def test_bad_input(project: Paths) -> None:
    with pytest.raises(SettingsError, match="unknown format 'pickle'; known: ollama, adapters, meta, torchtune"):
        run(Settings(), project, "pickle")
    with pytest.raises(ValueError, match="meta occurs more than once"):
        Settings(formats=["meta", "meta"])
    with pytest.raises(InputError, match="run the stage merge first"):
        run(Settings(), Paths(project.root / "elsewhere"), "meta")


def test_the_folder_loads_without_the_project(project: Paths, tmp_path: Path) -> None:
    """transformers alone, in a process of its own that knows neither temper nor peft."""
    import os
    import subprocess
    import sys

    from transformers import AutoModelForCausalLM

    program = (
        "import sys, torch; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1]); AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "torch.save(model(torch.arange(3, 40)[None]).logits.detach(), sys.argv[2])\n"
        "assert 'tasks' not in sys.modules and 'peft' not in sys.modules\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", program, str(project.merged), str(tmp_path / "logits")],
        cwd=tmp_path, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(project.merged)(torch.arange(3, 40)[None]).logits
    assert torch.allclose(torch.load(tmp_path / "logits", weights_only=True), expected, atol=1e-5)


STAND_IN = """
class BasePredictor: pass
def Input(default=None, description="", ge=None, le=None): return default
"""
"""As much of the package cog as the predictor imports."""


def test_cog(project: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from ruamel.yaml import YAML

    from tests.tasks.evaluate.test_evaluate import by_hand

    run(Settings(), project, "cog")
    out = project.exported("cog")
    assert {file.name for file in out.iterdir()} == {
        "cog.yaml", "predict.py", "page.py", "index.html", "requirements.txt", "model", "export.json",
    }  # fmt: skip
    cog = YAML(typ="safe").load(out / "cog.yaml")
    assert set(cog) == {"build", "predict"}, "Cog's schema lets no others in"
    assert cog["build"] == {"gpu": True, "python_version": "3.11", "python_requirements": "requirements.txt"}
    packages = (out / "requirements.txt").read_text().split()
    assert all(re.fullmatch(r"[a-z]+==[0-9.]+", package) for package in packages), packages
    (tmp_path / "cog.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    file, _, name = cog["predict"].partition(":")
    spec = importlib.util.spec_from_file_location("predict", out / file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    predictor = getattr(module, name)()
    predictor.setup()
    for system in ("", "Be brief."):
        answer = predictor.predict("stop web", system=system, max_new_tokens=12, temperature=0.0)
        asked = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
        prompt = f"{asked}<|im_start|>user\nstop web<|im_end|>\n<|im_start|>assistant\n"
        assert answer == by_hand(tiny.loaded(project.merged), tiny.tokenizer(), prompt)
    assert isinstance(predictor.predict("stop web", system="", max_new_tokens=2, temperature=1), str), (
        "an int, as of JSON"
    )
    for text in (out / "page.py", out / "index.html"):
        assert "http" not in text.read_text().replace("http.server", "").replace("http://127.0.0.1", "").replace(
            'f"http://{name}', ""
        )
