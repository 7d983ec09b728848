"""Train a small Llama and its tokenizer from scratch: on text made from the seed, the base of the embedded default, or
on a project's own texts."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.base import texts
from tasks.base.ready import is_model
from tasks.base.settings import Architecture, Settings
from tasks.core.errors import InputError, SettingsError
from tasks.core.files import fingerprint, write_json, write_text, written
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import counting
from tasks.generate.program.corpus import pretraining_lines
from tasks.models.record import describe, identity
from tasks.rows.ledger import Ledger

PAD, START, STOP = "<|pad|>", "<|im_start|>", "<|im_end|>"
"""Control tokens: padding, start and stop of a line here and of a turn in a chat."""

PART = 1000
"""Lines or documents that the tokenizer reads at a time."""

QUICK = 2**21
"""Characters of which the check of a run makes a vocabulary; more take long, and seldom are too few."""


def pretrain(settings: Settings, paths: Paths) -> None:
    """Make lines from the seed, train tokenizer and model on them, save `data/base`.

    pretrain(Settings(folder="data/seed"), Paths())
    """
    lines = pretraining_lines(paths.root / settings.folder, settings.lines, settings.pretraining.seed)
    if not lines:
        raise InputError(f"{settings.folder}: the seed gives no pretraining text.")

    def rows(tokenizer: Any) -> tuple[Any, Ledger, dict[str, Any]]:
        return *rows_of(tokenizer, lines, settings.architecture.context), {}

    def keep(folder: Path) -> None:
        write_text(folder / "text.txt", "\n".join(lines) + "\n")

    _pretrain(settings, paths, lines, rows, {"lines": fingerprint(lines)}, {}, keep)


def pretrain_on_texts(settings: Settings, paths: Paths) -> None:
    """Train tokenizer and model on the documents in `settings.text`, save `data/base`; raises as `texts.read` does."""
    corpus = texts.read(settings, paths)

    def rows(tokenizer: Any) -> tuple[Any, Ledger, dict[str, Any]]:
        texts.check_vocabulary(settings, len(tokenizer))
        packs, tokens = packs_of(tokenizer, corpus.documents, settings.architecture.context)
        ledger = Ledger(unit="documents", came=len(corpus.documents) + corpus.empty)
        ledger.outs["trained"], ledger.left["empty"] = len(corpus.documents), corpus.empty
        ledger.check("base")
        return packs, ledger, {"tokens": tokens, "files": corpus.files}

    _pretrain(settings, paths, corpus.documents, rows, {"texts": corpus.fingerprint}, {"from": settings.text})


def check_texts(settings: Settings, paths: Paths) -> None:
    """Raise what `pretrain_on_texts` would raise; of much text all but what the size of its vocabulary is."""
    folder = paths.root / settings.folder
    if is_model(folder):
        raise SettingsError(
            f"{PATHS.params}: base.folder = {settings.folder} is a model, but base.text trains a new one; set "
            f"base.text to null, or base.folder to {PATHS.seed}."
        )
    corpus = texts.read(settings, paths)
    if sum(map(len, corpus.documents)) <= QUICK:
        texts.check_vocabulary(settings, len(train_tokenizer(corpus.documents, settings.architecture)))


def _pretrain(
    settings: Settings,
    paths: Paths,
    text: list[str],
    rows_of_text: Callable[[Any], tuple[Any, Ledger, dict[str, Any]]],
    identifiers: dict[str, Any],
    origin: dict[str, Any],
    keep: Callable[[Path], None] | None = None,
) -> None:
    """`rows_of_text`: rows, their ledger and further facts, by the tokenizer; `keep`: writes what was trained on."""
    from tasks.training import checkpoints, schedule, trainer, usage
    from tasks.training.packs import Packs

    trainer.prepare(settings.pretraining)
    tokenizer = train_tokenizer(text, settings.architecture)
    rows, ledger, facts = rows_of_text(tokenizer)
    model = _model(settings.architecture, tokenizer)
    identifiers = {"settings": settings.model_dump(mode="json"), **identifiers}
    scratch = checkpoints.folder(paths.scratch("base"), identifiers, Path(__file__).parent)
    pretraining_settings = schedule.resolved("base.pretraining", settings.pretraining, len(Packs(rows)))
    passes = usage.passes_file(paths, "base")
    result = trainer.fit("base.pretraining", model, tokenizer, rows, pretraining_settings, scratch, passes=passes)
    with written(paths.base) as out:
        _save(result.model, tokenizer, out / "model")
        pretraining = out / "pretraining"
        pretraining.mkdir()
        if keep:
            keep(pretraining)
        write_text(pretraining / "loss.csv", result.curve)
        write_json(pretraining / "training.json", result.facts)
        ledger.write(pretraining / "ledger.json", vocabulary=len(tokenizer), **facts)
        files = describe(out / "model")
        record = {"kind": "trained", **origin, "location": "model", "revision": None}
        write_json(out / "base.json", {**record, "files": files, "sha256": identity(files)})
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


def packs_of(tokenizer: Any, documents: list[str], context: int) -> tuple[Any, int]:
    """Packs of at most `context` tokens of the documents, each between the start and the stop token, every token
    trained; and how many tokens they have. What a document says of control tokens stays text.

    Returns a `datasets.Dataset` with columns input_ids, labels and pack; a document that is longer than a pack is in
    windows, one after the other.
    """
    import pyarrow as pa
    from datasets import Dataset

    from tasks.template.packing import packed

    start, stop = tokenizer.convert_tokens_to_ids([START, STOP])
    plain = tokenizer.backend_tokenizer
    plain.encode_special_tokens = True
    parts = [documents[at : at + PART] for at in range(0, len(documents), PART)]
    batches = []
    for part in counting("base: tokenized, in parts", parts, "parts"):
        ids = [[start, *read.ids, stop] for read in plain.encode_batch(part, add_special_tokens=False)]
        column = pa.array(list(texts.windows(ids, context)), pa.list_(pa.int32()))
        batches.append(pa.RecordBatch.from_arrays([column, column], names=["input_ids", "labels"]))
    plain.encode_special_tokens = False
    rows = pa.Table.from_batches(packed(batches, context))
    return Dataset(rows), sum(len(batch.column(0).flatten()) for batch in batches)


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
