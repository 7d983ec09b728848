"""Defects that temper makes right instead of reporting them, and those that cannot occur in it."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from tasks.clean.shapes import to_content
from tasks.core.errors import InputError, LossError
from tasks.core.paths import Paths
from tasks.evaluate import stage as evaluate
from tasks.evaluate.candidates import folders, load
from tasks.models.loading import grow, load_model
from tasks.models.record import base_folder
from tasks.template import stage as template
from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tasks.template.tokenizer import prepare
from tasks.train import run
from tests.tasks import tiny
from tests.tasks.audit import test_defects
from tests.tasks.audit.test_defects import CASES, EARLY_END, UNMARKED, WORDS, chat
from tests.tasks.template.test_template import DIALOGUE, pair, row, trained
from tests.tasks.train.test_train import SMALL
from tests.tasks.training import test_packs

ELSEWHERE = {
    "K01": test_packs.test_losses_logits_and_gradients_are_those_of_the_rows_alone,
    "K02": test_packs.test_a_batch_has_no_mask_and_no_prediction_across_rows,
    "K04": test_packs.test_losses_logits_and_gradients_are_those_of_the_rows_alone,
    "C16": test_defects.test_arguments_that_are_null_since_rows_were_joined_are_told,
}
"""Defects that other tests plant."""

NEVER = {
    "M04": "no markers of instructions and responses are configured: turns are found by rendering",
    "M07": "no reward of temper looks for an end token, neither in prompts nor in completions",
    "C19": "chat_template.jinja is what transformers, vLLM and llama.cpp's converter read; GGUF files get the template "
    "as tokenizer.chat_template (tests of quantize)",
    "V05": "merge and export compare the tensors of what they wrote with what was read (tests of merge)",
}
"""Defects that cannot occur here, and why."""


def stage(limit: int = 10_000, written: str = UNMARKED, coder: Any = None, **settings: Any) -> Templater:
    coder = coder or tiny.tokenizer()
    coder.chat_template = written
    return Templater(coder, Settings(**settings), {coder.eos_token_id}, limit, None)


def test_every_defect_is_planted_or_cannot_occur() -> None:
    file = Path(__file__).parents[4] / "shared" / "defects.jsonl"
    if not file.is_file():
        pytest.skip("the catalogue is not at ../shared/defects.jsonl")
    families = {"truncation", "chat-template", "loss-masking", "special-token-injection", "packing", "preference"}
    known = [json.loads(line) for line in file.read_text().splitlines()]
    wanted = {entry["id"] for entry in known if entry["family"] in families | {"vocab-embeddings"}}
    here = {
        defect.upper() for name in globals() if name.startswith("test_") for defect in re.findall(r"[a-z]\d\d", name)
    }
    assert wanted - {name[:3] for name in CASES} - ELSEWHERE.keys() - NEVER.keys() - here == set()


def project(root: Path, chats: list[list[dict[str, str]]]) -> Paths:
    paths = tiny.project(root, method="none")
    pq.write_table(tiny.rows("train", chats), paths.clean / "train.parquet")
    return paths


def test_t04_a_run_in_which_every_row_is_too_long_says_so(tmp_path: Path) -> None:
    """LLaMA-Factory#9600."""
    paths = project(tmp_path, [chat(WORDS, "42")["messages"]])
    with pytest.raises(LossError, match=r"1 of 1 row of train is longer than 32 tokens"):
        template.run(Settings(max_length=32), paths)
    with pytest.raises(InputError, match="no rows are left to train on"):
        template.run(Settings(max_length=32, over_length="drop", max_loss=1), paths)


@pytest.mark.parametrize("over", ["error", "drop", "split"])
def test_t07_packing_loses_no_token(over: str, tmp_path: Path) -> None:
    """trl#4554: of three conversations one is longer than a pack."""
    chats = [chat("hello", f"docker {n}")["messages"] * times for n, times in enumerate((1, 12, 1))]
    paths = project(tmp_path, chats)
    settings = Settings(max_length=60, packing=True, over_length=over, max_loss=1)
    if over == "error":
        with pytest.raises(LossError, match="1 of 3 rows"):
            template.run(settings, paths)
        return
    template.run(settings, paths)
    audit = tiny.read(paths.templated / "audit.json")["splits"]["train"]
    with pa.OSFile(str(paths.templated / "train.arrow")) as file:
        table = pa.ipc.open_stream(file).read_all()
    kept = sum(len(ids) for ids in table.column("input_ids").to_pylist())
    assert kept == audit["trained"]["tokens"]
    assert audit["tokens"]["in"] == kept + sum(audit["tokens"]["left"].values())
    assert (sum(audit["tokens"]["left"].values()) > 0) == (over == "drop")


def test_t08_every_part_of_a_pack_begins_with_a_turn_of_the_user(tmp_path: Path) -> None:
    """trl#5075."""
    paths = project(tmp_path, [chat("hello", f"docker {n}")["messages"] * (n + 1) for n in range(6)])
    template.run(Settings(max_length=80, packing=True, over_length="split", max_loss=1), paths)
    coder = tiny.tokenizer()
    with pa.OSFile(str(paths.templated / "train.arrow")) as file:
        table = pa.ipc.open_stream(file).read_all()
    texts = [coder.decode(ids) for ids in table.column("input_ids").to_pylist()]
    assert len(texts) > 6
    assert all(text.startswith("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\ndocker") for text in texts)


def test_t10_answers_get_the_room_that_the_prompt_leaves() -> None:
    """trl#6548: prompt 20, chosen 40, rejected 30, 50 tokens at most: 30 and 30 are kept."""
    (whole,) = stage().outcomes([pair("w" * 20, "c" * 39, "r" * 29)])
    lengths = [len(part.ids) - whole.prompt for part in whole.sequences]
    limit = whole.prompt + 30
    (outcome,) = stage(limit, over_length="truncate_answer").outcomes([pair("w" * 20, "c" * 39, "r" * 29)])
    assert lengths == [40, 30]
    assert [len(part.ids) - outcome.prompt for part in outcome.sequences] == [30, 30]


def test_t11_a_pair_that_the_limit_makes_equal_is_found() -> None:
    """OpenRLHF#1311."""
    (outcome,) = stage(32, over_length="truncate_answer").outcomes([pair("a", f"{WORDS} good", f"{WORDS} bad")])
    assert outcome.reason == "equal_pair"


def test_t13_what_is_trained_is_found_before_the_cut() -> None:
    """axolotl#2123."""
    (whole,) = stage().outcomes([row(chat("hello", "docker stop web and db and more")["messages"])])
    limit = len(whole.sequences[0].ids) - 6
    (outcome,) = stage(limit, over_length="truncate_answer").outcomes(
        [row(chat("hello", "docker stop web and db and more")["messages"])]
    )
    assert outcome.trained == whole.trained - 5  # the sixth is the line end behind the turn
    assert outcome.sequences[0].runs[0][0] == whole.sequences[0].runs[0][0]


def test_t14_a_cut_answer_ends_in_no_stop() -> None:
    """transformers#19742."""
    (outcome,) = stage(30, over_length="truncate_answer").outcomes([row(chat("hello", WORDS)["messages"])])
    assert (outcome.cut, outcome.sequences[0].ids[-1] == tiny.tokenizer().eos_token_id) == ("answer", False)


def test_t16_a_limit_beyond_the_context_of_the_base_is_refused(tmp_path: Path) -> None:
    """LLaMA-Factory#2632: models with rotary positions go on without a word."""
    paths = project(tmp_path, [chat("a", "b")["messages"]])
    with pytest.raises(InputError, match=r"template\.max_length = 600: the base allows at most 256 tokens"):
        template.run(Settings(max_length=600), paths)


def begun(written: str) -> Any:
    """The tiny tokenizer as one that begins texts with `<|pad|>`."""
    from tokenizers.processors import TemplateProcessing

    coder = tiny.tokenizer()
    coder.bos_token = "<|pad|>"
    coder.add_tokens(["<|fill|>"], special_tokens=True)
    coder.pad_token = "<|fill|>"
    coder._tokenizer.post_processor = TemplateProcessing(
        single="<|pad|> $A", pair="<|pad|> $A $B", special_tokens=[("<|pad|>", coder.bos_token_id)]
    )
    coder.chat_template = written
    return coder


@pytest.mark.parametrize("written", ["{{- bos_token -}}" + UNMARKED, UNMARKED], ids=["c01", "c02"])
def test_c01_c02_a_row_begins_with_one_bos_where_texts_of_the_tokenizer_do(written: str) -> None:
    """unsloth#10312, transformers#27634."""
    coder, _ = prepare(begun(written), Settings(), "base")
    (outcome,) = stage(coder=coder, written=coder.chat_template).outcomes([row(DIALOGUE)])
    (text,) = stage(coder=coder, written=coder.chat_template).outcomes([{"id": "t", "text": "docker"}])
    assert outcome.reason is text.reason is None
    assert [part.ids.count(coder.bos_token_id) for part in (outcome.sequences[0], text.sequences[0])] == [1, 1]
    assert outcome.sequences[0].ids[0] == text.sequences[0].ids[0] == coder.bos_token_id


def test_c08_c23_m02_turns_are_found_without_marks_even_where_they_repeat() -> None:
    """transformers#34172, axolotl#2089, trl#1820."""
    messages = chat("stop web", "web", "web", "stop web", "web", "web")["messages"]
    templater = stage()
    (outcome,) = templater.outcomes([row(messages)])
    assert not outcome.notes
    assert trained(templater.encoder.tokenizer, outcome) == ["web<|im_end|>", "stop web<|im_end|>", "web<|im_end|>"]


def test_c05_the_trained_end_is_the_one_at_which_generation_stops() -> None:
    """axolotl#3754: turns end in another token than the tokenizer's end token."""
    coder = tiny.tokenizer()
    coder.eos_token = "<|pad|>"
    templater = stage(coder=coder)
    assert "turns end with <|im_end|>" in templater.reconcile()["end_token"]
    (outcome,) = templater.outcomes([row(DIALOGUE)])
    assert not outcome.notes and coder.eos_token == "<|im_end|>"
    assert stage(written=EARLY_END).outcomes([row(DIALOGUE)])[0].reason == "stop"


def test_c20_c25_each_prompt_is_what_stands_before_its_answer() -> None:
    """trl#5317, trl#6105: newlines between turns included."""
    templater = stage()
    coder = templater.encoder.tokenizer
    (outcome,) = templater.outcomes([row(DIALOGUE)])
    (part,) = outcome.sequences
    for (start, _), turn in zip(part.runs, (2, 4), strict=True):
        prompt = coder.apply_chat_template(DIALOGUE[:turn], add_generation_prompt=True)["input_ids"]
        assert part.ids[:start] == prompt


def test_c22_a_system_prompt_in_a_column_of_its_own_is_read() -> None:
    """trl#2385."""
    coder = to_content({"system": "Always answer in French", **chat("a", "b")})
    assert coder.messages is not None
    assert [turn["content"] for turn in coder.messages] == ["Always answer in French", "a", "b"]


def test_m01_where_pad_is_the_end_token_its_labels_stay() -> None:
    """transformers#23530: also in the trainer's batches, with padding."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    coder = tiny.tokenizer()
    coder.pad_token = coder.eos_token
    templater = stage(coder=coder)
    outcomes = templater.outcomes([row(chat("a", answer)["messages"]) for answer in ("b", "docker stop web")])
    collate = DataCollatorForLanguageModeling(pad_token_id=coder.pad_token_id)
    batch = collate([{"input_ids": one.sequences[0].ids, "labels": one.sequences[0].labels} for one in outcomes])
    assert batch["labels"].shape[0] == 2 and (batch["attention_mask"] == 0).any()
    assert (batch["labels"] == coder.eos_token_id).sum(dim=1).tolist() == [1, 1]


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")  # of the trainer's checkpoints
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_v01_v02_rows_of_new_tokens_are_trained_and_saved_with_the_adapter(tied: bool, tmp_path: Path) -> None:
    """peft#334, peft#1457: with adapters on two projections, new rows would be random and frozen, then lost."""
    paths = tiny.project(tmp_path, method="none", tied=tied)
    written = paths.templates / "turns.jinja"
    written.parent.mkdir()
    written.write_text(UNMARKED.replace("<|im_start|>", "<|turn|>").replace("<|im_end|>", "<|over|>"))
    new = ("<|turn|>", "<|over|>")
    template.run(Settings(chat_template=str(written), new_tokens=new), paths)
    lora = SMALL.lora.model_copy(update={"target_modules": ["q_proj", "v_proj"]})
    run.tune(SMALL.model_copy(update={"lora": lora}), paths)

    coder = AutoTokenizer.from_pretrained(paths.templated / "tokenizer")
    ids = coder.convert_tokens_to_ids(list(new))
    before = load_model(base_folder(paths))
    grow(before, coder)
    after = [
        load("adapter", evaluate.Settings(), folders("adapter", evaluate.Settings(), paths), coder) for _ in range(2)
    ]
    rows = after[0].get_input_embeddings()
    assert len(coder) == rows.weight.shape[0]
    moved = (rows.weight[ids] - before.get_input_embeddings().weight[ids]).norm(dim=1)
    assert (moved > 1e-4).all()
    probe = torch.tensor([[ids[0], 5, 6, ids[1]]])
    with torch.no_grad():
        logits = [model(input_ids=probe).logits for model in after]
    assert torch.equal(*logits)
