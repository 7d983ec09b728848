"""`temper check` and the sentences for a machine or a folder that is not ready."""

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flows.plan import machine, preflight
from tasks.core.errors import MachineError
from tests.families.build import build
from tests.flows.project import ROOT, Toy

LIGHT = """
import sys
from flows.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print("imported:", {"prefect", "torch", "transformers"} & set(sys.modules))
sys.exit(code)
"""
"""A command that imports neither Prefect nor torch, and says so."""


def test_everything_in_place(toy: Toy) -> None:
    shutil.copy(ROOT / "requirements.lock", toy.path)
    output = toy.call(sys.executable, "-c", LIGHT, "check")
    assert output == "Everything is ready. Next: temper run\nimported: set()\n"


@pytest.mark.usefixtures("stages_asked_here")
def test_all_faults_at_once(toy: Toy) -> None:
    params = Path("params.yaml").read_text().replace("learning_rate:", "learning_rat:")
    Path("params.yaml").write_text(params)
    shutil.rmtree("code")
    Path("requirements.lock").write_text("prefect==1.2.3\ndvc==3.67.1\n")
    toy.dvc("config", "cache.dir", "/proc/cache")
    output = toy.failed("check")
    assert "unknown key 'base.pretraining.learning_rat'; did you mean 'learning_rate'?" in output
    assert "unknown key 'train.learning_rat'; did you mean 'learning_rate'?" in output
    assert "requirements.lock says 1.2.3; run: pip install --requirement requirements.lock" in output
    assert "code is missing: the stage train reads it, and no stage makes it" in output
    assert "DVC's cache cannot be written: " in output


def test_what_an_unknown_item_would_need_is_not_asked_for(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "requirements.lock", toy.path)
    lacking = [("evaluate-retrieved@nobody", "data/nobody"), ("train", "rows")]
    monkeypatch.setattr("flows.bridge.missing", lambda: lacking)
    monkeypatch.setattr(preflight, "_refused", lambda: iter(()))
    assert [fault.split()[0] for fault in preflight.faults()] == ["data/nobody", "rows"]
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("retrieved: []", "retrieved: [nobody]"))
    of_params, of_data = preflight.faults()
    assert "evaluate.retrieved.0 = 'nobody': input should be 'base' or 'merged'." in of_params
    assert of_data.startswith("rows is missing")


@pytest.mark.usefixtures("stages_asked_here")
def test_a_base_that_lacks_something(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "requirements.lock", toy.path)
    model = toy.path / "model"
    model.mkdir()
    toy.set("base.folder=model")
    for name, sentence in (
        ("config.json", "model: a base needs its weights as *.safetensors; it holds none."),
        ("model.safetensors", "model: the base has no tokenizer"),
        ("tokenizer.json", "model: a model of the type None: transformers cannot read its config.json"),
    ):
        (model / name).write_text("{}")
        faults = preflight.faults() if name == "tokenizer.json" else preflight._faults_of(preflight._base)
        assert sentence in faults[0]
    shutil.rmtree(model)
    build("qwen3", model)
    (model / "chat_template.jinja").unlink()
    (fault,) = preflight._faults_of(preflight._template)
    assert "model: the base has no chat template; set template.chat_template" in fault
    with pytest.raises(MachineError, match="the base has no chat template"):
        preflight.check_stage_settings(toy.path)
    preflight.check_stage_settings(toy.path, ["clean"])
    toy.set("template.chat_template=plain")
    assert preflight.faults() == []
    toy.set(f"base.hub=some/model@{'0' * 40}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(toy.path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (fault,) = preflight._faults_of(preflight._base)
    assert "base.hub: some/model@" in fault


@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_a_folder_that_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    (line,) = Toy(empty, "").failed(command).splitlines()
    assert "no dvc.yaml and no params.yaml here" in line


@pytest.mark.parametrize(("gone", "advice"), [(".git", "run: git init && dvc init"), (".dvc", "run: dvc init")])
def test_no_git_or_no_dvc(toy: Toy, gone: str, advice: str) -> None:
    shutil.rmtree(gone)
    for command in ("run", "plan", "check"):
        (line,) = toy.failed(command).splitlines()
        assert advice in line


@pytest.mark.usefixtures("stages_asked_here")
def test_a_cache_that_cannot_be_written_stops_the_run_before_anything_is_removed(toy: Toy) -> None:
    Path("code/trainer.py").write_text("x = 2\n")
    toy.dvc("config", "cache.dir", "/proc/cache")
    before = toy.lock
    assert "DVC's cache cannot be written" in toy.failed("run")
    assert Path("data/trained/weights.txt").exists()
    assert toy.lock == before


@pytest.mark.usefixtures("stages_asked_here")
def test_bad_params_stop_the_run_and_set_leaves_them_as_they_were(toy: Toy) -> None:
    before = Path("params.yaml").read_text()
    refused = toy.failed("run", "--set", "train.learning_rat=1")
    assert "unknown key 'train.learning_rat'; did you mean 'learning_rate'?" in refused
    assert Path("params.yaml").read_text() == before
    refused = toy.failed("run", "--set", "template.chat_template=chatlm")  # valid, but refused before the first stage
    assert refused.startswith("temper run: ")
    last = refused.splitlines()[-1]
    assert last == "Nothing was written: params.yaml is as it was. Repeat the whole command, corrected."
    assert Path("params.yaml").read_text() == before


def test_a_number_that_stands_for_a_path(toy: Toy) -> None:
    """dvc.yaml has `${clean.input}` among its paths, and DVC takes no float there."""
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub(r"(?m)^(clean:.*\n(?:  .*\n)*?  input:).*$", r"\1 .inf", text, count=1))
    assert ".inf" in Path("params.yaml").read_text()
    assert any("clean.input = inf" in fault for fault in preflight.faults())


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_path_that_names_nothing(toy: Toy, command: str) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub(r"(?m)^(clean:.*\n(?:  .*\n)*?  input:).*$", r"\1 ''", text, count=1))
    assert "clean.input = '': expected a path, but this is empty." in toy.failed(command)


def test_disk_memory_and_python(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DISK", 2**60)
    monkeypatch.setattr(machine, "MEMORY", 2**60)
    monkeypatch.setattr(machine, "PYTHONS", ("3.8", "3.9", "3.10"))
    monkeypatch.setattr(preflight, "_refused", lambda: iter(()))
    faults = "\n".join(preflight.faults())
    assert "GiB are free on this disk" in faults
    assert "GiB of memory are available" in faults
    assert "runs this, but the locked versions are for 3.8, 3.9 and 3.10; create the environment with one" in faults


def test_help_imports_neither_prefect_nor_torch(toy: Toy) -> None:
    assert toy.call(sys.executable, "-c", LIGHT, "--help").endswith("\nimported: set()\n")


@pytest.mark.usefixtures("stages_asked_here")
def test_what_late_stages_would_refuse_is_told_before_the_first(toy: Toy) -> None:
    toy.set("decide.candidate=nf5")
    toy.set("template.chat_template=chatlm")
    output = toy.failed("check")
    assert "template.chat_template = chatlm: no such template; known: chatml, " in output
    Path("mine.jinja").write_text("{{ messages }}")
    toy.set("template.chat_template=mine.jinja")
    (moved, _) = preflight._faults_of(preflight._late_refusals)
    assert "mine.jinja: temper would not notice changes to it there; move it to data/templates/mine.jinja." in moved
    assert "decide.candidate = 'nf5': there is no such candidate; known: adapter, merged" in output


@pytest.mark.usefixtures("stages_asked_here")
def test_what_stages_say_of_their_settings_is_told_before_the_first(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What trl, peft and others would refuse, some of it after hours of the stages before."""
    # to read all of its own tasks, for the names that are near, takes lm-eval seconds
    monkeypatch.setattr("tasks.benchmarks._tasks", lambda: toy.path / "code")
    monkeypatch.setattr("tasks.benchmarks._texts", dict)
    shutil.copy(ROOT / "requirements.lock", toy.path)
    toy.set(
        "clean.privacy.phone_regions=[US, XX]",
        "train.arguments={neftune_noise: 5}",
        "align.objective=grpo",
        "align.rewards=[{kind: function, name: 'worth.py:polite'}]",
        "merge.combine={weights: {trained: 1, other: 1}}",
        "evaluate.benchmarks=[{task: nope}]",
        "evaluate.benchmarked=[base, nf5, trained]",
        "decide.metric=bleu",
        "template.packing=true",
        "train.group_by_length=true",
    )
    faults = preflight.faults()
    for sentence, fault in zip(
        (
            "evaluate.benchmarked: there is no candidate 'nf5'; known: base, ",
            "decide.metric = 'bleu': not in evaluate.metrics; known: exact_match.",
            "params.yaml: train.group_by_length has no effect on packed rows; ",
            "params.yaml: clean.privacy.phone_regions: XX is not a country code with a telephone numbering plan",
            "params.yaml: unknown key 'train.arguments.neftune_noise': trl's SFTConfig has no such argument",
            "worth.py: align.rewards.0.name: no such file; add it.",
            "merge.combine.weights: data/adapters/other is neither an adapter nor a model; found: none.",
            "evaluate.benchmarks: unknown task 'nope': neither data/scoring nor lm-eval has it",
        ),
        faults,
        strict=True,
    ):
        assert sentence in fault


def test_an_order_that_has_no_effect_is_told_before_the_first_stage(toy: Toy) -> None:
    toy.set("train.order=key")
    assert [*preflight._late_refusals()] == [
        "train.order key needs clean.order_key, which is null; set it, or train.order to shuffled."
    ]
    toy.set("clean.order_key=level", "template.packing=true")
    assert not [*preflight._late_refusals()]
    toy.set("train.order=length")
    (fault,) = preflight._late_refusals()
    assert fault.startswith("params.yaml: train.order length has no effect on packs, which have about the same length;")


@pytest.mark.usefixtures("stages_asked_here")
def test_functions_of_the_user_are_looked_at_and_not_run(toy: Toy) -> None:
    shutil.copy(ROOT / "requirements.lock", toy.path)
    scoring = toy.path / "data/scoring"
    scoring.mkdir()
    trace = toy.path / "trace"
    harm = f"open({str(trace)!r}, 'w')\n"
    (scoring / "mine.py").write_text(f"{harm}print('loaded')\ndef near(output, reference, row): return 1\n")
    (scoring / "task.yaml").write_text("task: mine\ndataset_path: json\ndoc_to_text: !function mine.near\n")
    (toy.path / "data/guides").mkdir()
    (toy.path / "data/guides/worth.py").write_text(f"{harm}def worth(prompt, answer, reference): return 1\n")
    (toy.path / "elsewhere.py").write_text(f"{harm}def f(*a): return 1\n")
    toy.set("evaluate.metrics=[{kind: function, function: 'mine.py:near'}]", "evaluate.benchmarks=[{task: mine}]")
    toy.set("align.objective=grpo", "align.rewards=[{kind: function, name: 'worth.py:worth'}]")
    assert preflight.faults() == []
    assert not trace.exists()
    toy.set("align.rewards=[{kind: function, name: '../../elsewhere.py:f'}]")
    toy.set("evaluate.metrics=[{kind: function, function: '../../elsewhere.py:f'}]")
    one, two = preflight.faults()
    assert "align.rewards.0.name = '../../elsewhere.py': expected a name inside data/guides" in one
    assert "evaluate.metrics = '../../elsewhere.py': expected a name inside data/scoring" in two
    assert not trace.exists()
    toy.set("align.objective=off")
    toy.set("evaluate.metrics=[{kind: function, function: 'mine.py:far'}]")
    (fault,) = preflight.faults()
    assert "data/scoring/mine.py: evaluate.metrics: it does not define far; define it, or use another name." in fault


@pytest.mark.usefixtures("stages_asked_here")
def test_tools_and_environments_are_looked_at_and_not_run(toy: Toy) -> None:
    shutil.copy(ROOT / "requirements.lock", toy.path)
    (toy.path / "data/guides").mkdir(parents=True)
    trace = toy.path / "trace"
    world = "class World:\n    def reset(self): ...\n    def step(self, answer): ...\n    def get_reward(self): ...\n"
    tool = "def look():\n    'Looks.'\n"
    (toy.path / "data/guides/world.py").write_text(f"open({str(trace)!r}, 'w')\n{tool}{world}")
    episodes = "align.episodes={environment: 'world.py:World', tools: ['world.py:look']}"
    toy.set("align.objective=grpo", "align.rewards=[{kind: environment}]", episodes)
    (fault,) = preflight.faults()
    assert (
        "align.episodes: the chat template chatml does not show tools to the model; set template.chat_template to one"
    ) in fault
    assert not trace.exists()


def test_settings_that_all_stages_took_are_not_asked_again(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def refused(*refusals: str) -> None:
        def ask(wanted: Sequence[str]) -> Iterator[str]:
            calls.append(" ".join(wanted))
            yield from refusals

        monkeypatch.setattr(preflight, "_refused", ask)

    refused("train: no.")
    for _ in range(2):
        with pytest.raises(MachineError, match=r"train: no\."):
            preflight.check_stage_settings(toy.path)
    refused()
    preflight.check_stage_settings(toy.path)
    preflight.check_stage_settings(toy.path)
    assert len(calls) == 3
    preflight.check_stage_settings(toy.path, ["clean"])
    assert len(calls) == 3, "all took them, so the stage and what it needs did"
    toy.set("train.steps=7")
    for wanted in (["clean"], ["clean"], ["template"], []):
        preflight.check_stage_settings(toy.path, wanted)
    assert calls[3:] == ["clean", "template", ""]


@pytest.mark.usefixtures("stages_asked_here")
def test_a_run_stops_before_its_first_stage_where_a_late_one_would(toy: Toy) -> None:
    before, lock = Path("params.yaml").read_text(), toy.lock
    refused = toy.failed("run", "--set", "train.learning_rate=0.5", "--set", "clean.privacy.phone_regions=[XX]")
    assert "XX is not a country code" in refused
    assert Path("params.yaml").read_text() == before
    assert toy.lock == lock
    toy.set("clean.privacy.phone_regions=[XX]")
    assert "XX is not a country code" in toy.failed("run", "clean")
    passed = toy.failed("run", "base", "--force", "nobody")  # who wants one stage may mend the others later
    assert "there is no stage nobody" in passed, "its flow has begun"


def test_alignment_that_could_not_start_is_refused_before_anything_runs(toy: Toy) -> None:
    toy.set("align.objective=dpo", "align.launch={processes: 2, strategy: fsdp2}", "train.method=full")
    (fault,) = preflight._faults_of(preflight._starts)
    assert (
        "dpo compares the whole model with a second copy, which align.launch.strategy fsdp2 does not shard"
    ) in fault
    toy.set("align.launch={processes: 2}", "train.enabled=false")
    (fault,) = preflight._faults_of(preflight._starts)
    assert "align.start is train, but train.enabled is false" in fault
    toy.set("align.start=base")
    assert preflight._faults_of(preflight._starts) == []
