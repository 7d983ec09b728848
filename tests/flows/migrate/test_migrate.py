"""Settings of other tools: what each key becomes, worked out by hand; no key is dropped without a line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flows.cli.main import main
from flows.migrate.read import convert
from flows.params.defaults import defaults
from flows.params.model import model, overlay
from tasks.core.yaml_files import parse

AXOLOTL = """
base_model: ./model
datasets:
  - path: rows.jsonl
    type: alpaca
    split: train
adapter: qlora
load_in_4bit: true
lora_r: 32
lora_alpha: 16
lora_target_linear: true
sequence_len: 1024
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 3
max_steps: 200
learning_rate: 2e-4
lr_scheduler: cosine
optimizer: paged_adamw_8bit
warmup_ratio: 0.1
bf16: auto
val_set_size: 0.1
train_on_inputs: true
flash_attention: true
wandb_project: mine
fsdp: [full_shard, auto_wrap]
odd_new_key: 3
"""
AXOLOTL_VALUES = {
    "base": {"folder": "model"},
    "generate": {"recipe": "none"},
    "clean": {"input": "rows.jsonl", "validation_share": 0.1},
    "template": {"max_length": 1024, "packing": True, "train_on": "all"},
    "train": {
        "method": "qlora", "lora": {"r": 32, "alpha": 16.0, "target_modules": "all-linear"}, "batch_size": 2,
        "gradient_accumulation": 4, "steps": 200, "learning_rate": 2e-4, "scheduler": "cosine",
        "optimizer": "paged_adamw_8bit", "warmup_steps": 20, "attention": "flash_attention_2",
    },
}  # fmt: skip
FACTORY = """
model_name_or_path: ./model
stage: dpo
finetuning_type: lora
lora_rank: 8
lora_target: q_proj, v_proj
pref_beta: 0.1
pref_loss: ipo
dataset: mine
template: llama3
cutoff_len: 2048
per_device_train_batch_size: 1
num_train_epochs: 3.0
learning_rate: 5.0e-6
max_samples: 1000
plot_loss: true
overwrite_cache: true
bf16: true
"""
FACTORY_VALUES = {
    "base": {"folder": "model"},
    "generate": {"recipe": "none"},
    "clean": {"input": "rows.jsonl", "columns": {"question": "ask"}, "mix": [{"files": "**", "cap": 1000}]},
    "template": {"max_length": 2048},
    "train": {"enabled": False},
    "align": {
        "objective": "dpo", "start": "base", "method": "lora", "lora": {"r": 8, "target_modules": ["q_proj", "v_proj"]},
        "arguments": {"beta": 0.1, "loss_type": "ipo"}, "batch_size": 1, "epochs": 3.0, "steps": None,
        "learning_rate": 5e-6, "dtype": "bfloat16",
    },
}  # fmt: skip
TORCHTUNE = """
model:
  _component_: torchtune.models.llama3.lora_llama3_8b
  lora_attn_modules: ['q_proj', 'v_proj', 'output_proj']
  apply_lora_to_mlp: True
  lora_rank: 8
  lora_alpha: 16
tokenizer: {_component_: torchtune.models.llama3.llama3_tokenizer, path: tok, max_seq_len: 512}
checkpointer: {_component_: torchtune.training.FullModelHFCheckpointer, checkpoint_dir: ./model, model_type: LLAMA3}
dataset: {_component_: torchtune.datasets.alpaca_dataset, packed: False}
optimizer: {_component_: torch.optim.AdamW, fused: True, weight_decay: 0.01, lr: 3e-4}
lr_scheduler: {_component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup, num_warmup_steps: 100}
loss: {_component_: torchtune.modules.loss.LinearCrossEntropyLoss}
epochs: 1
max_steps_per_epoch: null
batch_size: 2
gradient_accumulation_steps: 8
seed: null
shuffle: True
dtype: bf16
compile: False
enable_activation_checkpointing: True
"""
TORCHTUNE_VALUES = {
    "base": {"folder": "model"},
    "template": {"max_length": 512, "packing": False},
    "train": {
        "method": "lora", "optimizer": "adamw_torch", "weight_decay": 0.01, "learning_rate": 3e-4, "epochs": 1.0,
        "lora": {"r": 8, "alpha": 16.0,
                 "target_modules": ["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]},
        "scheduler": "cosine", "warmup_steps": 100, "steps": None, "batch_size": 2, "gradient_accumulation": 8,
        "dtype": "bfloat16", "gradient_checkpointing": True,
    },
}  # fmt: skip
TRL = """trl sft --model_name_or_path ./model --dataset_name rows.jsonl --learning_rate 2.0e-4 \\
    --num_train_epochs 1 --packing --per_device_train_batch_size=2 --use_peft --lora_r 32 --lora_alpha 16 \\
    --lora_target_modules q_proj k_proj --eval_strategy steps --eval_steps 100 --output_dir out --report_to wandb
"""
TRL_VALUES = {
    "base": {"folder": "model"},
    "generate": {"recipe": "none"},
    "clean": {"input": "rows.jsonl"},
    "template": {"packing": True},
    "train": {
        "method": "lora", "learning_rate": 2e-4, "epochs": 1.0, "steps": None, "batch_size": 2, "eval_steps": 100,
        "lora": {"r": 32, "alpha": 16.0, "target_modules": ["q_proj", "k_proj"]},
    },
}  # fmt: skip
JOB = json.dumps({
    "object": "fine_tuning.job", "id": "ftjob-1", "model": "gpt-4o-mini", "training_file": "file-1", "seed": 7,
    "hyperparameters": {"n_epochs": 4, "batch_size": "auto", "learning_rate_multiplier": 1.8}, "suffix": "support",
    "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}},
})  # fmt: skip
JOB_VALUES = {
    "train": {"enabled": False},
    "align": {"objective": "dpo", "start": "base", "epochs": 4.0, "steps": None, "seed": 7, "arguments": {"beta": 0.2}},
    "report": {"title": "support"},
}
NOTEBOOK = json.dumps({"cells": [
    {"cell_type": "markdown", "source": ["# hi"]},
    {"cell_type": "code", "source": ["!pip install unsloth\n", "max_seq_length = 2048\n",
     "model, tokenizer = FastLanguageModel.from_pretrained('./model', max_seq_length = max_seq_length,\n",
     "    load_in_4bit = True)\n"]},
    {"cell_type": "code", "source": ["model = FastLanguageModel.get_peft_model(model, r = 16, lora_alpha = 16,\n",
     " target_modules = ['q_proj'], bias = 'none', use_gradient_checkpointing = 'unsloth', random_state = 3407)\n"]},
    {"cell_type": "code", "source": ["trainer = SFTTrainer(model = model, args = SFTConfig(max_steps = 60,\n",
     " per_device_train_batch_size = 2, warmup_steps = 5, learning_rate = 2e-4, optim = 'adamw_8bit',\n",
     " bf16 = is_bfloat16_supported(), output_dir = 'outputs', report_to = 'none', run_name = name()))\n"]},
]})  # fmt: skip
NOTEBOOK_VALUES = {
    "base": {"folder": "model"},
    "template": {"max_length": 2048},
    "train": {
        "method": "qlora", "lora": {"r": 16, "alpha": 16.0, "target_modules": ["q_proj"]}, "seed": 3407, "steps": 60,
        "gradient_checkpointing": True, "batch_size": 2, "warmup_steps": 5, "learning_rate": 2e-4,
        "optimizer": "adamw_8bit",
    },
}  # fmt: skip
CASES = {
    "axolotl.yml": (AXOLOTL, AXOLOTL_VALUES), "factory.yaml": (FACTORY, FACTORY_VALUES),
    "tune.yaml": (TORCHTUNE, TORCHTUNE_VALUES), "run.sh": (TRL, TRL_VALUES), "job.json": (JOB, JOB_VALUES),
    "notebook.ipynb": (NOTEBOOK, NOTEBOOK_VALUES),
}  # fmt: skip


@pytest.fixture(autouse=True)
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and rows, the current one; and no cache of the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    Path("model").mkdir()
    Path("rows.jsonl").write_text("")
    info = {"mine": {"file_name": "rows.jsonl", "columns": {"prompt": "ask", "response": "output"}}}
    Path("dataset_info.json").write_text(json.dumps(info))
    return tmp_path


def keys_of(value: Any) -> set[str]:
    """The keys of a mapping, at every level."""
    if isinstance(value, dict):
        return set(value) | {name for inner in value.values() for name in keys_of(inner)}
    return {name for inner in value for name in keys_of(inner)} if isinstance(value, list) else set()


@pytest.mark.parametrize("name", CASES)
def test_the_recipe_of_each_tool(name: str) -> None:
    text, values = CASES[name]
    Path(name).write_text(text)
    conversion = convert(Path(name))
    assert conversion.values == values
    document = defaults(model())
    overlay(document, conversion.values)
    model().model_validate(document)  # params.yaml takes it


@pytest.mark.parametrize("name", ["axolotl.yml", "factory.yaml", "tune.yaml", "job.json"])
def test_every_key_has_a_line(name: str) -> None:
    text, _ = CASES[name]
    Path(name).write_text(text)
    given = json.loads(text) if name.endswith(".json") else parse(text, "safe")
    named = {part for line in convert(Path(name)).lines for part in line.key.replace("[0]", "").split(".")}
    assert keys_of(given) <= named


def test_what_is_refused_or_unknown_says_why() -> None:
    Path("axolotl.yml").write_text(AXOLOTL.replace("base_model: ./model", "base_model: org/model"))
    lines = {line.key: (line.verdict, line.what) for line in convert(Path("axolotl.yml")).lines}
    assert lines["base_model"] == (
        "refused",
        "a name alone may change: set base.hub to org/model@<its 40 hex digits>",
    )
    assert lines["odd_new_key"] == ("without", "unknown, or from an unsupported version of axolotl")
    assert lines["wandb_project"][0] == "refused"
    assert lines["num_epochs"] == ("same", "steps decides how long to train")
    assert lines["fsdp"][0] == "refused" and "quantised base" in lines["fsdp"][1]
    Path("axolotl.yml").write_text(
        AXOLOTL.replace("adapter: qlora", "adapter: lora").replace("4bit: true", "4bit: false")
    )
    assert convert(Path("axolotl.yml")).values["train"]["launch"] == {"strategy": "fsdp2"}
    assert all(what for _, what in lines.values())


@pytest.mark.parametrize(
    ("more", "mix", "arguments"),
    [
        ("", None, None),
        ("shuffle_merged_datasets: true\ncurriculum_sampling: true\n", None, None),
        ("shuffle_merged_datasets: false\n", None, None),
        (
            "shuffle_merged_datasets: false\ncurriculum_sampling: true\n",
            None,
            {"train_sampling_strategy": "sequential"},
        ),
        (
            "  - {path: more/b.jsonl, type: alpaca}\n",
            [{"files": "more/b.jsonl", "share": 2.0}, {"files": "rows.jsonl"}],
            None,
        ),
        (
            "  - {path: rows.jsonl, type: alpaca, shards: 4, shards_idx: 0}\n",
            [{"files": "more/b.jsonl"}, {"files": "rows.jsonl", "share": 1.25}],
            None,
        ),
    ],
)
def test_several_data_sets_of_axolotl_are_parts_of_one_input(more: str, mix: Any, arguments: Any) -> None:
    """Axolotl puts them one behind the other and shuffles, unless it is told not to, and its trainer shuffles again."""
    Path("more").mkdir()
    Path("more/b.jsonl").write_text("")
    data = "datasets:\n  - {path: rows.jsonl, type: alpaca}\n  - {path: more/b.jsonl, type: alpaca}\n"
    Path("axolotl.yml").write_text(f"{data}{more}base_model: ./model\nsequence_len: 64\nadapter: lora\n")
    conversion = convert(Path("axolotl.yml"))
    assert conversion.values["clean"]["input"] == "."
    assert conversion.values["clean"].get("mix") == mix
    assert conversion.values["train"].get("arguments") == arguments
    assert all(line.verdict != "refused" for line in conversion.lines)


def test_a_model_in_the_cache_is_pinned() -> None:
    reference = Path("cache/models--org--model/refs/main")
    reference.parent.mkdir(parents=True)
    reference.write_text("a" * 40)
    Path("axolotl.yml").write_text(AXOLOTL.replace("base_model: ./model", "base_model: org/model"))
    assert convert(Path("axolotl.yml")).values["base"] == {"hub": f"org/model@{'a' * 40}"}


def test_the_command_prints_a_table_and_writes_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    Path("axolotl.yml").write_text(AXOLOTL)
    assert main(["import", "axolotl.yml"]) == 0
    out = capsys.readouterr().out
    assert "train.lora.r: 32" in out and "Written: axolotl.recipe.yaml" in out
    recipe = Path("axolotl.recipe.yaml").read_text()
    assert parse(recipe, "safe") == AXOLOTL_VALUES
    assert "# wandb_project: training sends no reports" in recipe
    assert main(["import", "axolotl.yml"]) == 1
    assert "axolotl.recipe.yaml: already exists" in capsys.readouterr().err


def test_no_text_of_the_file_becomes_a_key_of_the_recipe() -> None:
    """Names stand in comments where they are refused; one with a line break must not leave its comment."""
    job = {"training_file": "file-1\ntrain:\n  steps: 1", "suffix": "a\x00b\nreport: {}"}
    Path("job.json").write_text(json.dumps(job))
    assert main(["import", "job.json"]) == 0
    assert parse(Path("job.recipe.yaml").read_text(), "safe") == {"report": {"title": "a\x00b\nreport: {}"}}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("none.yaml", None, "no such file"),
        ("a.yaml", "a: [", "cannot be read as settings of any known tool"),
        ("a.yaml", "- 1", "no keys with values"),
        ("a.yaml", "colour: red", "name the tool with --tool"),
        ("a.yaml", "train: {steps: 3}", "these are temper's own settings: take them with `temper run --recipe`"),
        ("a.json", "{", "cannot be read as settings of any known tool"),
        ("a.ipynb", '{"cells": 3}', "has a type that|cannot be read as"),
        ("a.py", "def (", "cannot be read as settings of any known tool"),
        ("a.ipynb", '{"cells": ["a"]}', "cannot be read as settings of any known tool"),
        ("axolotl.yml", "base_model: x\nsequence_len: .inf\n", "has a type that axolotl does not allow there"),
        ("axolotl.yml", "base_model: x\nsequence_len: long\n", "."),
        ("axolotl.yml", "base_model: x\nsequence_len: [1]\n", "has a type that axolotl does not allow there"),
        (
            "axolotl.yml",
            "base_model: x\nsequence_len: 12\nlearning_rate: 7\n",
            r"train\.learning_rate \(as it would be\)",
        ),
    ],
)
def test_bad_files_are_one_sentence(
    name: str, text: str | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path(name).write_text(text)
    code = main(["import", name])
    error = capsys.readouterr().err
    assert "Traceback" not in error
    if sentence != ".":
        assert code == 1 and re.search(sentence, error)
        assert not list(Path().glob("*.recipe.yaml"))
