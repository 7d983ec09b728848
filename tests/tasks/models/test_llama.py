"""A Llama goes out in the form of Meta, torchtune or litgpt and comes in again: the same tensors, the same logits."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.base import stage as base
from tasks.core.errors import CheckFailed, ModelError
from tasks.core.paths import Paths
from tasks.export import stage as export
from tests.tasks import tiny

torch = pytest.importorskip("torch")

from tasks.models.llama import FORMS  # noqa: E402 - after the skip
from tasks.models.llama.sizes import SCALED, params  # noqa: E402
from tasks.models.record import base_folder, base_record  # noqa: E402
from tasks.models.shards import stored_tensors  # noqa: E402

COLUMNS = ("wq.weight", "wk.weight", "wv.weight", "w1.weight", "w3.weight", "output.weight")
"""What Meta splits by rows where a model lies in several files; wo, w2 and embeddings by columns, norms not at all."""


def exported_project(root: Path, *, form: str, **shape: Any) -> Paths:
    """A project whose merged model was exported as `form` into the folder `given`."""
    paths = Paths(root)
    tokenizer = tiny.tokenizer()
    tiny.model(paths.merged, vocabulary=len(tokenizer), **shape)
    tokenizer.save_pretrained(paths.merged)
    export.run(export.Settings(), paths, form)
    shutil.copytree(paths.exported(form), root / "given")
    return paths


def tensors(folder: Path) -> dict[str, Any]:
    return {name: tensor.read() for name, tensor in stored_tensors(folder).items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return set(one) == set(other) and all(torch.equal(value, other[name]) for name, value in one.items())


def logits(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(torch.arange(3, 60)[None]).logits


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_out_and_in_again(tmp_path: Path, form: str, tied: bool) -> None:
    rope = {"rope_type": "default", "rope_theta": 20000.0}
    paths = exported_project(
        tmp_path, form=form, tied=tied, dtype="float32" if tied else "bfloat16", rope_parameters=rope
    )
    names = len(tensors(paths.merged)) + tied
    assert tiny.read(paths.exported(form) / "export.json") == {"format": form, "tensors": names, "read_back": "equal"}
    base.run(base.Settings(folder="given"), paths)
    before = contents(paths.base)
    base.run(base.Settings(folder="given"), paths)
    assert contents(paths.base) == before, "the same bytes twice"
    assert str(tmp_path).encode() not in b"".join(before.values())
    folder, record = base_folder(paths), base_record(paths)
    assert (record["kind"], record["form"], record["from"]) == ("converted", form, "given")
    assert same(tensors(folder), tensors(paths.merged))
    assert torch.equal(logits(folder), logits(paths.merged))
    from transformers import AutoTokenizer

    chat = [{"role": "user", "content": "hello"}]
    ids = [
        AutoTokenizer.from_pretrained(model_folder).apply_chat_template(chat)["input_ids"]
        for model_folder in (folder, paths.merged)
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("form", FORMS)
def test_scaled_rotation(tmp_path: Path, form: str) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, **SCALED}
    paths = exported_project(tmp_path, form=form, rope_parameters=rope, max_position_embeddings=16384)
    base.run(base.Settings(folder="given"), paths)
    assert tiny.read(base_folder(paths) / "config.json")["rope_parameters"] == rope
    assert torch.equal(logits(base_folder(paths)), logits(paths.merged))


def test_what_a_form_cannot_say_is_refused(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, **SCALED, "factor": 32.0}
    with pytest.raises(ModelError, match=r"rotary scaling \(llama3\) .*remove meta from export\.formats"):
        exported_project(tmp_path / "scaled", form="meta", rope_parameters=rope)
    with pytest.raises(ModelError, match="the model has biases; remove litgpt"):
        exported_project(tmp_path / "biases", form="litgpt", attention_bias=True)
    with pytest.raises(ModelError, match="heads are not hidden_size / num_attention_heads wide"):
        exported_project(tmp_path / "heads", form="torchtune", head_dim=32)
    assert not Paths(tmp_path / "heads").exported("torchtune").exists()


def test_an_export_that_reads_back_as_another_model_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.export import llama

    monkeypatch.setattr(llama, "params", lambda config: {**params(config), "n_kv_heads": 4})
    with pytest.raises((CheckFailed, ModelError), match=r"export meta: .*wk\.weight is"):
        exported_project(tmp_path, form="meta")
    monkeypatch.setattr(llama, "params", lambda config: {**params(config), "rope_theta": 1.0})
    with pytest.raises(CheckFailed, match="read back, rope_parameters is"):
        exported_project(tmp_path, form="meta")
    assert not Paths(tmp_path).exported("meta").exists()


def test_metas_model_in_several_files(tmp_path: Path) -> None:
    """As Meta publishes larger models: vocabulary unsaid, rotary frequencies among the tensors."""
    paths = exported_project(tmp_path, form="meta", tied=False)
    file = tmp_path / "given" / "consolidated.00.pth"
    whole = torch.load(file, weights_only=True)
    for number in range(2):
        part = {"rope.freqs": torch.ones(8)}
        for name, value in whole.items():
            axis = None if "norm" in name else 0 if name.endswith(COLUMNS) else 1
            part[name] = value if axis is None else value.chunk(2, axis)[number].clone()
        torch.save(part, file.with_name(f"consolidated.0{number}.pth"))
    sizes = tmp_path / "given" / "params.json"
    sizes.write_text(json.dumps({**tiny.read(sizes), "vocab_size": -1}))
    base.run(base.Settings(folder="given"), paths)
    assert same(tensors(base_folder(paths)), tensors(paths.merged))


class Harm:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("harmed"),)


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = exported_project(tmp_path, form="litgpt")
    folder_given, (weights, sizes) = tmp_path / "given", FORMS["litgpt"]
    monkeypatch.chdir(tmp_path)
    kept = torch.load(folder_given / weights, weights_only=True)

    def refused(message: str) -> None:
        with pytest.raises(ModelError, match=f"^given.*{message}"):
            base.run(base.Settings(folder="given"), paths)
        assert not paths.base.exists()

    torch.save({"model": kept}, folder_given / weights)
    base.run(base.Settings(folder="given"), paths)
    assert same(tensors(base_folder(paths)), tensors(paths.merged)), "one level down, as litgpt saves while it trains"
    shutil.rmtree(paths.base)
    torch.save({**kept, "transformer.h.0.attn.qkv.bias": torch.zeros(4)}, folder_given / weights)
    refused(r"hold 1 tensor that a Llama without biases lacks, such as transformer\.h\.0\.attn\.qkv\.bias")
    torch.save({name: value for name, value in kept.items() if "ln_f" not in name}, folder_given / weights)
    refused(r"lack 1 tensor, such as transformer\.ln_f\.weight")
    torch.save({**kept, "lm_head.weight": kept["lm_head.weight"][:, :3].clone()}, folder_given / weights)
    refused(r"lm_head\.weight is \(\d+, 3\) in 1 files, but the sizes require")
    torch.save({**kept, "harm": Harm()}, folder_given / weights)
    refused("holds more than tensors, and loading that could run code")
    assert not Path("harmed").exists()
    (folder_given / weights).write_bytes(b"PK\x03\x04 cut off")
    refused("cannot be read")
    torch.save(kept, folder_given / weights)
    text = (folder_given / sizes).read_text()
    (folder_given / sizes).write_text(text.replace("parallel_residual: false", "parallel_residual: true"))
    refused("not the sizes of a Llama .parallel_residual is True")
    (folder_given / sizes).write_text(text.replace("n_layer: 2", ""))
    refused("'n_layer' is missing, which a Llama needs")
    (folder_given / sizes).unlink()
    refused(r"weights of litgpt without model_config\.yaml")
    (folder_given / sizes).write_text(text)
    (folder_given / "tokenizer.json").unlink()
    refused("has no tokenizer")
