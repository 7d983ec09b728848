"""What train and align refuse as they start is known of a base before any stage has run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from tasks.core.errors import TemperError
from tasks.rehearsal import run, starting
from tasks.rehearsal.weights import full_size
from tasks.stages import names
from tests.families.build import build
from tests.tasks import tiny

NEW = {"new_tokens": ["<|a|>", "<|b|>"]}

GROWN = "cannot add rows to sharded weights"
WHOLE = "saves a whole model weight by weight"
EXPERTS = "stores all experts of a layer in one weight"
UNTRAINED = "cannot train them on this base"
TIED = "a base whose head shares the weights of the embeddings"
UNHELD = "which the adapter in data/starts/mine does not have"


def two(strategy: str) -> dict[str, Any]:
    return {"launch": {"processes": 2, "strategy": strategy}}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("bases")
    tiny.model(root / "llama", vocabulary=len(tiny.tokenizer()), tied=False)
    tiny.model(root / "tied", vocabulary=len(tiny.tokenizer()))
    for name in ("llama", "tied"):
        tiny.tokenizer().save_pretrained(root / name)
    build("mixtral", root / "mixtral")
    return root


def refusals(base: Path, **sections: dict[str, Any]) -> list[str]:
    """What a check says of `base` by these sections of params.yaml in the current folder."""
    values = {name: sections.get(name, {}) for name in names()} | {"base": {"folder": str(base)}}
    Path("params.yaml").write_text(json.dumps(values))
    skeleton = full_size(base, AutoConfig.from_pretrained(base), str(base))
    faults = []
    for refuse in starting.checks(skeleton, run._vocabulary(base), {"train", "align"}):
        try:
            refuse()
        except TemperError as error:
            faults.append(str(error))
    return faults


@pytest.mark.parametrize(
    ("base", "sections", "expected"),
    [
        ("llama", {"template": NEW, "train": two("fsdp2")}, [f"train.launch.strategy fsdp2 {GROWN}"]),
        ("llama", {"template": NEW, "train": {"method": "full", **two("fsdp2")}}, [GROWN]),
        ("llama", {"template": NEW, "train": {"launch": {"strategy": "fsdp2"}}}, []),
        ("llama", {"template": NEW, "train": two("zero2")}, []),
        ("llama", {"template": NEW, "train": two("zero3")}, []),
        ("llama", {"template": NEW, "train": two("ddp")}, []),
        ("llama", {"template": {"new_tokens": ["<|im_end|>"]}, "train": two("fsdp2")}, []),
        ("llama", {"template": NEW, "train": {"enabled": False, **two("fsdp2")}}, []),
        (
            "llama",
            {"template": NEW, "align": {"objective": "dpo", "start": "base", **two("fsdp2")}},
            [f"align.launch.strategy fsdp2 {GROWN}"],
        ),
        ("llama", {"template": NEW, "align": {"objective": "dpo", **two("fsdp2")}}, ["align.launch.strategy fsdp2"]),
        ("llama", {"template": NEW, "align": {"objective": "off", **two("fsdp2")}}, []),
        (
            "llama",
            {"template": NEW, "train": {"method": "full"}, "align": {"objective": "orpo", **two("fsdp2")}},
            [],  # what train made has the rows already
        ),
        ("mixtral", {"train": {"method": "full", **two("fsdp2")}}, [f"train.launch.strategy fsdp2 {WHOLE}"]),
        ("mixtral", {"train": {"method": "freeze", **two("zero3")}}, [f"train.launch.strategy zero3 {WHOLE}"]),
        ("mixtral", {"train": {"method": "full", **two("zero2")}}, []),
        ("mixtral", {"train": {"method": "full"}}, []),
        ("mixtral", {"train": two("fsdp2")}, []),
        ("mixtral", {"train": two("zero3")}, [EXPERTS]),
        ("mixtral", {"train": {"method": "full"}, "align": {"objective": "orpo", **two("fsdp2")}}, [WHOLE]),
        ("mixtral", {"align": {"objective": "dpo", **two("zero3")}}, [EXPERTS]),
        ("tied", {"template": NEW, "train": {"method": "ia3"}}, [f"train.method ia3 {UNTRAINED}"]),
        ("tied", {"template": NEW, "train": {"method": "prompt_tuning"}}, [UNTRAINED]),
        ("llama", {"template": NEW, "train": {"method": "ia3"}}, []),
        ("tied", {"train": {"method": "ia3"}}, []),
        ("tied", {"train": {"method": "trainable_tokens", "peft": {"token_indices": [1]}}}, [TIED]),
        ("llama", {"train": {"method": "trainable_tokens", "peft": {"token_indices": [1]}}}, []),
    ],
)
def test_what_the_start_of_a_run_refuses_is_known_before(
    bases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    base: str,
    sections: dict[str, dict[str, Any]],
    expected: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    sentences = refusals(bases / base, **sections)
    assert len(sentences) == len(expected)
    assert all(part in one for part, one in zip(expected, sentences, strict=True))


def test_an_adapter_without_rows_for_new_tokens(bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/starts/mine")
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").touch()
    config = {"peft_type": "LORA", "modules_to_save": None}
    for saved, expected in ((None, [UNHELD]), (["embed_tokens", "lm_head"], [])):
        (folder / "adapter_config.json").write_text(json.dumps({**config, "modules_to_save": saved}))
        for stage in ({"train": {"start": "mine"}}, {"align": {"objective": "dpo", "start": "mine"}}):
            train = {"train": {"enabled": False}} if "align" in stage else {}
            sentences = refusals(bases / "llama", template=NEW, **train, **stage)
            assert len(sentences) == len(expected)
            assert all(part in one for part, one in zip(expected, sentences, strict=True))


def test_a_reward_model_of_other_tokens(bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bases / "llama", "data/guides/worth")
    rewards = [{"kind": "model", "name": "worth"}]
    for template, count in (({}, 0), (NEW, 1)):
        align = {"objective": "grpo", "rewards": rewards}
        sentences = refusals(bases / "llama", template=template, align=align)
        assert len(sentences) == count
        assert all("the tokens of this model are not those of the base" in one for one in sentences)
        assert refusals(bases / "llama", template=template, align={"objective": "dpo", "rewards": rewards}) == []


def test_values_and_a_teacher_with_the_vocabulary_of_the_base(
    bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bases / "llama", "data/guides/other")
    tiny.model(Path("data/guides/wide"), vocabulary=len(tiny.tokenizer()) + 8)
    for align, template, expected in (
        ({"objective": "ppo", "value": "other"}, {}, []),
        ({"objective": "ppo", "value": "other"}, NEW, ["the tokens of this model are not those of the base"]),
        ({"objective": "gkd", "teacher": "other"}, {}, []),
        ({"objective": "gkd", "teacher": "wide"}, {}, ["a vocabulary of 328 and the base one of 320"]),
        ({"objective": "gold", "teacher": "wide"}, {}, []),
    ):
        sentences = refusals(bases / "llama", template=template, align=align)
        assert len(sentences) == len(expected)
        assert all(part in one for part, one in zip(expected, sentences, strict=True))


def test_a_check_asks_for_it(bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"base": {"folder": str(bases / "llama")}, "template": NEW, "train": two("fsdp2")}
    Path("params.yaml").write_text(json.dumps({name: values.get(name, {}) for name in names()}))
    (one,) = (str(fault) for fault in run.faults())
    assert GROWN in one
