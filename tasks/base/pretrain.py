"""Train a small Llama and its tokenizer from scratch on text made from the seed: the base of the embedded default."""

import shutil
from pathlib import Path
from typing import Any

from tasks.base.settings import Architecture, Settings
from tasks.core.errors import InputError
from tasks.core.files import fingerprint, write_json, write_text, written
from tasks.core.paths import Paths
from tasks.core.progress import counting
from tasks.generate.program.corpus import pretraining_lines
from tasks.models.record import describe, identity
from tasks.rows.ledger import Ledger

PAD, START, STOP = "<|pad|>", "<|im_start|>", "<|im_end|>"
"""Control tokens: padding, start and stop of a line here and of a turn in a chat."""

PART = 1000
"""Lines that the tokenizer reads at a time."""


def pretrain(settings: Settings, paths: Paths) -> None:
    """Make the text, train tokenizer and model on it, save `data/base`.

    pretrain(Settings(folder="data/seed"), Paths())
    """
    lines = pretraining_lines(paths.root / settings.folder, settings.lines, settings.pretraining.seed)
    if not lines:
        raise InputError(f"{settings.folder}: the seed gives no pretraining text.")
    from tasks.training import checkpoints, schedule, trainer

    trainer.prepare(settings.pretraining)
    tokenizer = train_tokenizer(lines, settings.architecture)
    rows, ledger = rows_of(tokenizer, lines, settings.architecture.context)
    model = _model(settings.architecture, tokenizer)
    identifiers = {"settings": settings.model_dump(mode="json"), "lines": fingerprint(lines)}
    scratch = checkpoints.folder(paths.scratch("base"), identifiers, Path(__file__).parent)
    pretraining_settings = schedule.resolved("base.pretraining", settings.pretraining, len(rows))
    result = trainer.fit("base.pretraining", model, tokenizer, rows, pretraining_settings, scratch)
    with written(paths.base) as out:
        _save(result.model, tokenizer, out / "model")
        pretraining = out / "pretraining"
        pretraining.mkdir()
        write_text(pretraining / "text.txt", "\n".join(lines) + "\n")
        write_text(pretraining / "loss.csv", result.curve)
        write_json(pretraining / "training.json", result.facts)
        ledger.write(pretraining / "ledger.json", vocabulary=len(tokenizer))
        files = describe(out / "model")
        record = {"kind": "trained", "location": "model", "revision": None, "files": files, "sha256": identity(files)}
        write_json(out / "base.json", record)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    shutil.rmtree(scratch)


def train_tokenizer(lines: list[str], architecture: Architecture) -> Any:
    """A byte-level BPE trained on `lines`: every text can be represented, nothing is normalised away."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=architecture.vocabulary,
        special_tokens=[PAD, START, STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    parts = [lines[start : start + PART] for start in range(0, len(lines), PART)]
    bpe.train_from_iterator(counting("base: read for the tokenizer, in parts", parts, "parts"), trainer, len(lines))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=STOP,
        pad_token=PAD,
        additional_special_tokens=[START],
        model_max_length=architecture.context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = (Path(__file__).parents[1] / "template/chat/chatml.jinja").read_text()
    return tokenizer


def rows_of(tokenizer: Any, lines: list[str], context: int) -> tuple[Any, Ledger]:
    """One row a line, between the start and the stop token, every token trained; with the ledger of lines.

    Returns a `datasets.Dataset` with columns input_ids and labels, and a ledger: lines longer than `context` tokens are
    left out.
    """
    from datasets import Dataset

    start, stop = tokenizer.convert_tokens_to_ids([START, STOP])
    ledger = Ledger(unit="lines", came=len(lines))
    rows = []
    for ids in tokenizer(lines, add_special_tokens=False)["input_ids"]:
        if len(ids) + 2 > context:
            ledger.left["too_long"] += 1
        else:
            rows.append([start, *ids, stop])
    ledger.outs["trained"] = len(rows)
    ledger.check("base")
    return Dataset.from_dict({"input_ids": rows, "labels": rows}), ledger


def configuration(architecture: Architecture, vocabulary: int, **special: int | None) -> Any:
    """transformers' configuration of a Llama with so many tokens; `special`: the ids of special tokens."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.heads,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=True,
        use_cache=False,
        **{"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, **special},
    )


def _model(architecture: Architecture, tokenizer: Any) -> Any:
    from transformers import LlamaForCausalLM

    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return LlamaForCausalLM(configuration(architecture, len(tokenizer), **special))


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    model.config.use_cache = model.generation_config.use_cache = True
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
