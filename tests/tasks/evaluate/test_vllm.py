"""Candidates computed by vLLM: the same scores, compared with transformers first, and refused where it cannot be.

There is no card here, and no vLLM: `tests.tasks.vllm_standin` takes its place within this process.
"""

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import MachineError, ModelError, SettingsError
from tasks.core.files import write_json, write_text
from tasks.core.paths import Paths
from tasks.evaluate import engine_checks
from tasks.evaluate.settings import Settings
from tasks.evaluate.stage import run, validate
from tasks.models.for_vllm import adapter_problem, reserved_rank
from tasks.rehearsal import engines
from tests.tasks import tiny, vllm_standin
from tests.tasks.tiny import read

pytest.importorskip("torch")

BY_VLLM: dict[str, Any] = {"engine": {"kind": "vllm", "compared": 4}}
METRICS: dict[str, Any] = {"metrics": [{"kind": "exact_match"}, {"kind": "perplexity"}], "max_new_tokens": 8}
SAY = """task: say
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: "docker"
output_type: generate_until
generation_kwargs: {{until: ["e", "o"], max_gen_toks: 12, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Base, adapter and merged model of one project, and a task that ends answers at strings."""
    from tasks.merge import stage as merge

    paths = tiny.project(tmp_path_factory.mktemp("vllm"))
    merge.run(merge.Settings(), paths)
    lines = [json.dumps({"question": f"stop {name}"}) for name in tiny.NAMES]
    write_text(paths.scoring / "rows.jsonl", "\n".join(lines))
    write_text(paths.scoring / "say.yaml", SAY.format(folder=paths.scoring))
    return paths


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in under the name of the package; the card alone is not asked for."""
    vllm_standin.install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(engine_checks, "check_machine", lambda: None)
    yield importlib.import_module("vllm")
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


def scored(paths: Paths, candidate: str, values: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Scores and predictions of a candidate, its benchmarks' samples with the latter."""
    import pyarrow.parquet as pq

    run(Settings.model_validate(values), paths, candidate)
    folder = paths.evaluation(candidate)
    files = [file for file in ("predictions.parquet", "samples.parquet") if (folder / file).exists()]
    return read(folder / "scores.json"), [row for file in files for row in pq.read_table(folder / file).to_pylist()]


@pytest.mark.parametrize(
    ("candidate", "more"),
    [
        ("adapter", {}),
        ("base_few_shot", {"benchmarks": [{"task": "say"}], "benchmarked": ["base_few_shot"]}),
        pytest.param("merged", {"benchmarks": [{"task": "say"}]}, marks=pytest.mark.long),
        pytest.param("best", {"prompts": {"best": ["Be short.", "Say docker."]}}, marks=pytest.mark.long),
    ],
)
def test_a_candidate_has_the_same_rows_and_says_what_computed_it(
    project: Paths, vllm: Any, candidate: str, more: dict[str, Any]
) -> None:
    theirs, their_rows = scored(project, candidate, {**METRICS, **more, **BY_VLLM})
    ours, our_rows = scored(project, candidate, {**METRICS, **more})
    assert len(their_rows) == len(our_rows) >= 8
    for one, other in zip(our_rows, their_rows, strict=True):
        assert one.pop("perplexity", 0) == pytest.approx(other.pop("perplexity", 0), abs=1e-5)
        assert one == other
    engine = theirs.pop("engine")
    assert engine.pop("difference") < 1e-4
    assert engine == {"kind": "vllm", "version": "0.30.0", "rows": 4, "same_answers": 1.0}
    assert {name: values for name, values in theirs.items() if name not in ("metrics", "slices")} == {
        name: values for name, values in ours.items() if name not in ("metrics", "slices")
    }


def test_an_engine_that_leaves_the_adapter_out_is_caught(
    project: Paths, vllm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(project.evaluation("adapter"), ignore_errors=True)
    monkeypatch.setattr(vllm.LLM, "_with", lambda self, request: self.model)
    with pytest.raises(
        ModelError, match=r"vLLM does not compute adapter as transformers does\. vLLM 0\.30\.0"
    ) as error:
        run(Settings.model_validate({**METRICS, **BY_VLLM}), project, "adapter")
    assert "min_same = 0.9, and to one row transformers says" in str(error.value)
    assert not project.evaluation("adapter").exists(), "nothing is written"


def test_an_engine_whose_likelihoods_alone_are_wrong_is_caught(
    project: Paths, vllm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = vllm.prompt_logprobs

    def shifted(model: Any, prompt: list[int]) -> Any:
        """Each token with the likelihood of the one before it."""
        values = right(model, prompt)
        before = [next(iter(entry.values())) for entry in values[1:]]
        return [None, *({token: entry} for token, entry in zip(prompt[1:], [before[0], *before], strict=False))]

    monkeypatch.setattr(vllm, "prompt_logprobs", shifted)
    with pytest.raises(
        ModelError, match=r"log-likelihoods differ by \d+\.\d+ nats per token \(max_difference = 0\.1\)"
    ):
        run(Settings.model_validate({**METRICS, **BY_VLLM}), project, "base")
    lenient = {"engine": {"kind": "vllm", "compared": 4, "max_difference": 99.0}}
    run(Settings.model_validate({**METRICS, **lenient}), project, "base")
    assert 0.1 < read(project.evaluation("base") / "scores.json")["engine"]["difference"] < 99


def test_a_stop_string_within_reasoning_does_not_end_an_answer(project: Paths, vllm: Any) -> None:
    from tasks.chat.reasoning import THINK, ReasoningReader
    from tasks.evaluate.by_vllm import ByVllm
    from tasks.evaluate.engine_choice import EngineChoice
    from tasks.models.loading import load_tokenizer

    tokenizer = load_tokenizer(project.tokenizer)
    computation = ByVllm(
        [project.merged, project.tokenizer], EngineChoice(kind="vllm"), tokenizer,
        dtype="float32", length=200, stop_ids={2}, reader=ReasoningReader((THINK,)),
    )  # fmt: skip
    prompt = tokenizer("stop web", add_special_tokens=False)["input_ids"]
    (whole,) = computation.answers(0, [prompt], 8, (), [None])
    stop = tokenizer.decode(whole[:2])[-1]
    (cut,) = computation.answers(0, [prompt], 8, (stop,), [None])
    (thought,) = computation.answers(0, [prompt], 8, (stop,), [THINK])
    assert len(cut) <= 2 < len(whole)
    assert thought == whole


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"memory": 0.5}, "memory has no effect with kind transformers"),
        ({"compared": 8}, "compared has no effect with kind transformers"),
        ({"kind": "vllm", "memory": 1.0}, "memory"),
        ({"kind": "sglang"}, "kind"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(engine: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.model_validate({"engine": engine})


def test_the_default_engine_does_not_stand_in_the_record() -> None:
    assert "engine" not in Settings().effective()
    assert Settings.model_validate(BY_VLLM).effective()["engine"]["kind"] == "vllm"


def test_vllm_that_is_not_here_is_refused_before_a_run_but_not_for_workers_of_a_queue(tmp_path: Path) -> None:
    settings, paths = Settings.model_validate(BY_VLLM), Paths(tmp_path)
    with pytest.raises(
        MachineError, match=r"evaluate\.engine\.kind is vllm, which is not installed here; run: pip inst"
    ):
        validate(settings, paths)
    write_text(paths.policies, "stages: {evaluate: {queue: cards}}\n")
    validate(settings, paths)
    write_text(paths.params, "machine: {engine: ray}\n")
    with pytest.raises(SettingsError, match=r"so machine\.engine ray has no effect"):
        validate(settings, paths)


@pytest.mark.parametrize(
    ("config", "message"),
    [({"quantization_config": {"quant_method": "awq"}}, "models/other is quantised"), (None, "is a GGUF file")],
)
def test_a_model_to_compare_with_that_vllm_does_not_load_is_refused(
    tmp_path: Path, vllm: Any, config: dict[str, Any] | None, message: str
) -> None:
    paths = Paths(tmp_path)
    folder = tmp_path / "models" / "other"
    folder.mkdir(parents=True)
    if config is None:
        (folder / "model.gguf").write_bytes(b"GGUF")
    else:
        write_json(folder / "config.json", config)
    with pytest.raises(ModelError, match=f"cannot compute other: .*{message}; set it to transformers"):
        validate(Settings.model_validate({**BY_VLLM, "models": {"other": "models/other"}}), paths)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"quantize": {}}, "quantize.schemes has nf4, and vLLM loads no quantised candidate; remove all schemes, or"),
        ({}, None),
        ({"train": {"objective": "classify"}}, "train.objective is classify"),
        ({"template": {"new_tokens": ["<x>"]}}, "template.new_tokens adds tokens"),
        ({"train": {"method": "dora"}}, r"train.method is dora, .* \(it has use_dora\)"),
        ({"train": {"method": "vera"}}, r"\(it is an adapter of the kind VERA\)"),
        ({"train": {"method": "pissa"}}, None),
        ({"train": {"method": "full"}}, None),
        ({"align": {"objective": "dpo", "start": "base", "method": "dora"}}, "align.method is dora"),
    ],
)
def test_candidates_of_other_sections_are_refused_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any], message: str | None
) -> None:
    others: dict[str, Any] = {"train": {}, "align": {}, "template": {}, "quantize": {"schemes": []}}
    write_json(tmp_path / "params.yaml", {"evaluate": BY_VLLM, **others, **sections})
    monkeypatch.chdir(tmp_path)
    assert not list(engines.checks({"train"}))
    (check,) = engines.checks({"evaluate"})
    if message is None:
        check()
        return
    with pytest.raises(SettingsError, match=message):
        check()


@pytest.mark.parametrize(
    ("config", "problem", "rank"),
    [
        ({"r": 4}, "", 8),
        ({"r": 16, "rank_pattern": {"q_proj": 20}}, "", 32),
        ({"r": 600}, "its rank is 600, above 512", None),
        ({"r": 8, "modules_to_save": ["lm_head"]}, "it has modules_to_save", None),
        ({"r": 8, "bias": "all"}, "it has bias: all", None),
        ({"r": 8, "init_lora_weights": "pissa"}, "it has init_lora_weights: pissa", None),
        ({"r": 8, "init_lora_weights": True, "use_rslora": True}, "", 8),
        ({"peft_type": "LOHA", "r": 8}, "it is an adapter of the kind LOHA", None),
    ],
)
def test_adapters_that_vllm_loads(config: dict[str, Any], problem: str, rank: int | None) -> None:
    config = {"peft_type": "LORA", **config}
    assert adapter_problem(config) == problem
    if rank:
        assert reserved_rank(config) == rank
