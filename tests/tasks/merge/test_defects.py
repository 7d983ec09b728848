"""Merging: what ruins a model without a word elsewhere is refused here, with the reason, or made right."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import CheckFailed, ModelError
from tasks.core.paths import Paths
from tasks.merge.settings import Settings
from tasks.merge.stage import run
from tests.tasks import tiny
from tests.tasks.tiny import loaded

torch = pytest.importorskip("torch")


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return tiny.project(tmp_path)


def edit(file: Path, change: Any) -> None:
    """Save the tensors in `file` as `change` leaves them."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def base_again(paths: Paths) -> None:
    tiny.record(paths, paths.base / "model", "trained", "model")


def live(paths: Paths) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(loaded(paths.base / "model"), paths.trained)


def save(paths: Paths, config: Any, *, rows: int | None = None) -> None:
    """Train nothing: an adapter by `config` with random weights into data/trained; `rows` of embeddings first."""
    from peft import get_peft_model

    torch.manual_seed(2)
    model = loaded(paths.base / "model")
    if rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for weight in tuned.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.05)
    tuned.save_pretrained(paths.trained)


def lora(**options: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"], **options)


def test_another_base_than_it_was_trained_on(project: Paths) -> None:
    (project.trained / "training.json").write_text(json.dumps({"base": "0" * 64}))
    with pytest.raises(
        ModelError, match=r"trained on a base with the hash 000000000000, but data/base has [0-9a-f]{12}"
    ):
        run(Settings(), project)
    assert not project.merged.exists()


def test_another_revision_of_the_base(project: Paths) -> None:
    config = tiny.read(project.trained / "adapter_config.json")
    config.update(revision="a" * 40, base_model_name_or_path="model")
    (project.trained / "adapter_config.json").write_text(json.dumps(config))
    record = tiny.read(project.base / "base.json")
    (project.base / "base.json").write_text(json.dumps({**record, "revision": "b" * 40}))
    with pytest.raises(ModelError, match=f"asks for revision {'a' * 40} of model, but data/base is revision b"):
        run(Settings(), project)


@pytest.mark.parametrize("lost", ["model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"])
def test_a_tensor_of_the_base_is_missing(project: Paths, lost: str) -> None:
    """The second is tied to the head: transformers makes it up at random, and its list of missing keys is empty."""
    edit(project.base / "model" / "model.safetensors", lambda tensors: tensors.pop(lost))
    base_again(project)
    with pytest.raises(ModelError, match=f"lacks 1 of its weights, such as {lost}, and they would get random values"):
        run(Settings(), project)


def test_a_file_of_the_base_is_cut_off(project: Paths) -> None:
    file = project.base / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    base_again(project)
    with pytest.raises(ModelError, match="ends before its last tensor"):
        run(Settings(), project)


@pytest.mark.parametrize("where", ["base", "trained"])
def test_numbers_that_are_none(project: Paths, where: str) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        next(value for name, value in sorted(tensors.items()) if "q_proj" in name)[0, 0] = float("nan")

    if where == "base":
        edit(project.base / "model" / "model.safetensors", spoil)
        base_again(project)
    else:
        edit(project.trained / "adapter_model.safetensors", spoil)
    with pytest.raises((ModelError, CheckFailed), match="NaN or infinite"):
        run(Settings(), project)
    assert not project.merged.exists()


def test_an_adapter_of_whole_numbers(project: Paths) -> None:
    def rounded(tensors: dict[str, Any]) -> None:
        name = next(name for name in sorted(tensors) if "lora_B" in name)
        tensors[name] = tensors[name].to(torch.int32)

    edit(project.trained / "adapter_model.safetensors", rounded)
    with pytest.raises(
        ModelError, match=r"the tensor .*lora_B.* has the type int32, but LoRA weights are floating-point numbers"
    ):
        run(Settings(), project)


def test_keys_that_do_not_match(project: Paths) -> None:
    """peft warns, and goes on with a layer as it was before training."""

    def rename(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if ".layers.0." in name]:
            tensors[name.replace(".layers.0.", ".layers.9.")] = tensors.pop(name)

    edit(project.trained / "adapter_model.safetensors", rename)
    with pytest.raises(
        ModelError, match=r"14 of its tensors are missing, such as .*layers\.0.* and 14 of its tensors do not exist"
    ):
        run(Settings(), project)


def test_an_adapter_that_changes_nothing(project: Paths) -> None:
    """As where the base is taken for the fine-tune."""

    def clear(tensors: dict[str, Any]) -> None:
        for name in tensors:
            if "lora_B" in name:
                tensors[name].zero_()

    edit(project.trained / "adapter_model.safetensors", clear)
    with pytest.raises(CheckFailed, match="changes no logit of the base on 4 probes"):
        run(Settings(), project)


def test_small_updates_rounded_away(tmp_path: Path) -> None:
    """Deltas far below bfloat16's steps: refused as bfloat16, kept as float32."""
    project = tiny.project(tmp_path, dtype="bfloat16")

    def shrink(tensors: dict[str, Any]) -> None:
        for name in tensors:
            if "lora_B" in name:
                tensors[name] *= 1e-3

    edit(project.trained / "adapter_model.safetensors", shrink)
    with pytest.raises(CheckFailed, match=r"bfloat16 rounds the update away\. Set merge\.dtype to float32"):
        run(Settings(), project)
    assert not project.merged.exists()
    run(Settings(dtype="float32"), project)
    assert tiny.read(project.merged / "merge.json")["dtype"] == "float32"
    assert tiny.read(project.merged / "config.json")["dtype"] == "float32"


def test_a_dora_adapter(project: Paths) -> None:
    """Its norm is taken of the base, in the order in which peft computes it."""
    save(project, lora(use_dora=True))
    run(Settings(), project)
    assert tiny.read(project.merged / "merge.json")["max_logit_difference"] < 1e-4


@pytest.mark.parametrize("where", ["lm_head", "embed_tokens"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_of_two_tied_weights_was_tuned(project: Paths, where: str) -> None:
    """peft adds the update to both, or the head is lost when the folder is loaded; here they are two from then on."""
    from peft import LoraConfig

    save(project, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", where]))
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        expected = live(project)(ids).logits
    run(Settings(), project)
    assert tiny.read(project.merged / "config.json")["tie_word_embeddings"] is False
    with torch.no_grad():
        assert (loaded(project.merged)(ids).logits - expected).abs().max() < 1e-4


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_new_tokens_with_their_embeddings(tmp_path: Path, tied: bool) -> None:
    from transformers import AutoTokenizer

    project = tiny.project(tmp_path, tied=tied)
    tokenizer = AutoTokenizer.from_pretrained(project.templated / "tokenizer")
    rows = len(tokenizer) + 2
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|new|>", "<|other|>"]})
    tokenizer.save_pretrained(project.templated / "tokenizer")
    save(project, lora(modules_to_save=["embed_tokens", "lm_head"], ensure_weight_tying=tied), rows=rows)
    run(Settings(), project)
    from safetensors.torch import load_file

    kept = load_file(project.trained / "adapter_model.safetensors")
    name = next(name for name in kept if "embed_tokens" in name)
    model = loaded(project.merged)
    assert model.config.vocab_size == rows
    assert torch.equal(model.model.embed_tokens.weight, kept[name])
    assert model.config.tie_word_embeddings is tied


def test_new_tokens_without_embeddings(project: Paths) -> None:
    """The tokenizer has more tokens than the model has rows."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(project.templated / "tokenizer")
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(project.templated / "tokenizer")
    with pytest.raises(ModelError, match="has 321 tokens, but the model has embeddings for 320"):
        run(Settings(), project)


def test_new_tokens_that_stayed_as_chance_left_them(tmp_path: Path) -> None:
    """Rows of padding in the base make room for new tokens; LoRA leaves them untrained, and nothing says so."""
    from transformers import AutoTokenizer

    project = tiny.project(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(project.templated / "tokenizer")
    tiny.model(project.base / "model", vocabulary=len(tokenizer) + 8)
    base_again(project)
    tiny.adapter(project.trained, project.base / "model")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|new|>"]})
    tokenizer.save_pretrained(project.templated / "tokenizer")
    chats = [[{"role": "user", "content": "<|new|> web"}, {"role": "assistant", "content": "docker start web"}]]
    tiny.templated(project.templated / "train.arrow", tokenizer, tiny.rows("train", chats))
    with pytest.raises(CheckFailed, match=r"the token '<\|new\|>' \(320\) is in the training rows and new to the base"):
        run(Settings(), project)


def test_what_cannot_be_merged_is_kept_as_it_is(project: Paths) -> None:
    from peft import PrefixTuningConfig, get_peft_model

    for file in project.trained.iterdir():
        file.unlink()
    get_peft_model(
        loaded(project.base / "model"), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    ).save_pretrained(project.trained)
    before = {file.name: file.read_bytes() for file in project.trained.iterdir()}
    with pytest.raises(
        ModelError,
        match="PREFIX_TUNING cannot be merged, because it changes none of the model's weights: it adds to its input",
    ):
        run(Settings(), project)
    assert {file.name: file.read_bytes() for file in project.trained.iterdir()} == before


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_bias_that_the_base_has_no_place_for(project: Paths) -> None:
    save(project, lora(lora_bias=True))
    with pytest.raises(ModelError, match=r"cannot be merged into .*: .* base layer has no bias"):
        run(Settings(), project)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_base_that_is_changed_by_how_the_adapter_started(project: Paths) -> None:
    save(project, lora(init_lora_weights="pissa"))
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        expected = live(project)(ids).logits
    run(Settings(), project)
    assert "init_lora_weights: pissa" in tiny.read(project.merged / "merge.json")["by"]
    with torch.no_grad():
        assert (loaded(project.merged)(ids).logits - expected).abs().max() < 1e-4
