"""The stage `template`: rows in, token ids and labels out, with an audit that adds up."""

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.chat.stops import GENERATION, ordered, save_stop_ids, stop_ids
from tasks.core.errors import InputError, LossError
from tasks.core.files import write_json, write_text, written
from tasks.core.numbers import counted, listed
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.engine.chosen import Engine, chosen
from tasks.models.record import base_folder, base_record
from tasks.rows.parts import Parts
from tasks.template import preview
from tasks.template.arrow import Batch
from tasks.template.audit import Account
from tasks.template.checks import CHECKS, REQUESTED
from tasks.template.encode import Encoder
from tasks.template.kept import KeptOutcomes, parts_of
from tasks.template.kept_markups import markups_of
from tasks.template.outcome import Outcome
from tasks.template.rows import READ, Templater
from tasks.template.settings import Settings
from tasks.template.shards import BATCH, Shards
from tasks.template.stream import stream
from tasks.template.tokenizer import (
    check_tracked,
    context_length,
    embedding_rows,
    eos_mismatch,
    load,
    max_length,
)

LOST = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("reason", pa.string()),
        ("part", pa.string()),
        ("tokens", pa.int64()),
        ("tokens_after", pa.int64()),
        ("answer_tokens", pa.int64()),
        ("supervised_tokens_after", pa.int64()),
        ("stop_kept", pa.bool_()),
    ]
)
"""Columns of `truncated.parquet`: every row that left or was cut."""


class RowTemplater(Protocol):
    """What makes token ids of rows, be they dialogues or single texts."""

    settings: Settings
    limit: int
    """Tokens of the longest row or text."""
    encoder: Encoder

    def outcomes(self, rows: Batch) -> list[Outcome]:
        """What becomes of each row, in their order."""


def write(settings: Settings, paths: Paths) -> None:
    """Template both splits and write `data/templated`."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # of few rows, by threads, which change nothing; workers have none
    base = base_folder(paths)
    tokenizer, notes = load(base, settings)
    check_tracked(settings.chat_template, paths.templates)
    longest, source = max_length(tokenizer, base, settings.max_length)
    templater = Templater(tokenizer, settings, stop_ids(base, tokenizer), longest, embedding_rows(base, settings))
    settled = templater.reconcile()  # first: it may choose the end token
    templater.dialogue_renderer.kept = markups_of(paths, templater)
    notes = eos_mismatch(base, tokenizer) | settled | notes
    out = paths.templated
    shown = preview.Preview(tokenizer, settings.preview_rows)
    with written(out / "truncated.parquet") as aside, pq.ParquetWriter(aside, LOST) as lost, chosen(paths) as engine:
        parts = parts_of(paths, templater)
        accounts = [split(name, templater, paths, shown, lost, engine, parts) for name in ("train", "validation")]
        parts.trim()
    trained = accounts[0].trained
    if not trained["rows"] + trained["preference"] + trained["judged"]:
        raise InputError(f"{paths.clean / 'train.parquet'}: no rows are left to train on; see {PATHS.ledger}.")
    _check_stretched(base_record(paths).get("rope"), max(accounts[0].lengths, default=0))
    packs = _pack(out / "train.arrow", longest) if settings.packing else None
    with written(out / "tokenizer") as folder:
        tokenizer.save_pretrained(folder)
        save_stop_ids(folder / GENERATION, templater.stops, tokenizer)
    write_text(out / "preview.html", shown.page())
    splits = {audited.name: audited.as_dict() for audited in accounts}
    write_json(paths.counts, {name: audited["trained"] for name, audited in splits.items()})
    audit = {
        "settings": settings.model_dump(mode="json"),
        "chat_template": {
            "source": settings.chat_template or "tokenizer",
            "sha256": hashlib.sha256(tokenizer.chat_template.encode()).hexdigest(),
        },
        "made_right": notes,
        "max_length": {"tokens": longest, "source": source},
        "tokenizer": {
            "vocabulary": len(tokenizer),
            "eos": tokenizer.eos_token,
            "stops": tokenizer.convert_ids_to_tokens(ordered(templater.stops, tokenizer)),
            "pad": tokenizer.pad_token,
            "bos": tokenizer.bos_token,
        },
        "control_tokens": _census(tokenizer, accounts),
        "packing": packs,
        "splits": splits,
        "checks": {slug: sum(audited.findings.rows[slug] for audited in accounts) for slug in CHECKS},
    }
    write_json(out / "audit.json", audit)
    print(f"template: max_length is {counted(longest, 'tokens')} ({source})")
    print_audit(notes, splits, "lengths")


def print_audit(notes: dict[str, str], splits: dict[str, dict[str, Any]], measured: str) -> None:
    """What was made right, and what of each split is trained and found. `measured`: what its lengths are of."""
    for line in notes.values():
        print(f"template: {line}")
    for name, audited in splits.items():
        lengths = {key: value for key, value in audited["lengths"].items() if key != "histogram"}
        print(f"template: {name}: {listed(audited['trained'])}; {measured}: {listed(lengths)}")
        for finding in audited["findings"]:
            line = (
                f"{finding['severity']}: {finding['check']}: {counted(finding['rows'], 'rows')}: {finding['message']}"
            )
            print(f"template: {name}: {line}")


def _check_stretched(rope: dict[str, Any] | None, longest: int) -> None:
    """Raise `InputError` where the base was stretched for longer rows (`rope` of base.json) than there are."""
    if rope and longest <= rope["original"]:
        raise InputError(
            f"base.rope stretches the context from {rope['original']} to {rope['length']} tokens, but the longest row "
            f"has {longest}. No position beyond the old context would be trained, and shorter rows would get worse. "
            "Set base.rope to null, or add longer rows."
        )


def split(
    name: str,
    templater: RowTemplater,
    paths: Paths,
    shown: preview.Preview,
    lost: Any,
    engine: Engine,
    parts: Parts | None = None,
) -> Account:
    """Template one split and write its shards, what left or was cut into `lost`; stop where too much is.

    Rows that `parts` hold are not worked on again.
    """
    source = paths.rows(name)
    if not source.is_file():
        raise InputError(f"{source}: no such file; run the stage clean first.")
    parquet = pq.ParquetFile(source)
    account = Account(name)
    report = reporter(f"template {name}", parquet.metadata.num_rows, "rows")
    columns = parquet.schema_arrow
    order = columns.field("order").type if "order" in columns.names else None
    with Shards(paths.templated, name, order, texts=templater.settings.embed is not None) as shards:
        read = [field for field in columns.names if field in READ]
        batches = parquet.iter_batches(BATCH, columns=read, use_threads=False)
        work = KeptOutcomes(templater.outcomes, parts) if parts else templater.outcomes
        for outcomes in stream(work, batches, engine):
            gone = [row for outcome in outcomes if (row := account.add(outcome))]
            if gone:
                lost.write_table(pa.Table.from_pylist(gone, schema=LOST))
            if name == "train":
                for outcome in outcomes:
                    shown.add(outcome)
            account.count(templater.encoder, outcomes)
            shards.put(outcomes)
            report(account.rows.came)
        _settle(account, templater.settings, templater.limit, paths)
    return account


def _pack(path: Path, capacity: int) -> dict[str, Any]:
    """Rewrite the training rows in packs; returns how many there are, and how full."""
    from tasks.template.packing import packed, packed_in_order

    packs = tokens = 0
    with pa.memory_map(str(path)) as source, written(path) as aside, pa.OSFile(str(aside), "wb") as sink:
        rows = pa.ipc.open_stream(source)
        parts = packed_in_order(rows.read_all(), capacity) if "order" in rows.schema.names else packed(rows, capacity)
        with pa.ipc.new_stream(sink, rows.schema.append(pa.field("pack", pa.int32()))) as stream:
            for batch in parts:
                stream.write_batch(batch)
                packs = batch.column("pack")[-1].as_py() + 1
                tokens += len(batch.column("input_ids").flatten())
    return {"packs": packs, "capacity": capacity, "fill": round(tokens / (packs * capacity), 6) if packs else None}


def _census(coder: Any, accounts: list[Account]) -> dict[str, int]:
    """How often each control token stands in what is trained on."""
    counts = sum((account.controls for account in accounts), start=type(accounts[0].controls)())
    return {coder.convert_ids_to_tokens(token): counts[token] for token in sorted(counts)}


def _settle(account: Account, settings: Settings, longest: int, paths: Paths) -> None:
    """Stop where the accounts do not add up, or more was lost than the settings allow, naming the rows."""
    for ledger in (account.rows, account.tokens, account.answers):
        ledger.check("template")
    came, left = account.rows.came, account.rows.left
    refused = sum(count for slug, count in left.items() if slug != "too_long" and slug not in REQUESTED)
    long = left["too_long"] + account.cut
    gone = sum(count for slug, count in account.answers.left.items() if slug not in REQUESTED)
    most = settings.max_loss if settings.max_answer_loss is None else settings.max_answer_loss
    stopped = settings.over_length == "error" and left["too_long"]
    if refused + long <= settings.max_loss * came and gone <= most * account.answers.came and not stopped:
        return
    advice = f"template.max_loss: {_share(refused + long, came)}"
    if settings.max_answer_loss is not None or gone * came > (refused + long) * account.answers.came:
        advice += f" and template.max_answer_loss: {_share(gone, account.answers.came)}"
    if refused:
        reasons = [slug for slug in CHECKS if left[slug] and slug != "too_long" and slug not in REQUESTED]
        failed = "; ".join(
            f"{slug}: {CHECKS[slug].meaning} ({counted(left[slug], 'rows')}{_such(account, slug)})" for slug in reasons
        )
        raise LossError(
            f"template: {refused:,} of {counted(came, 'rows')} of {account.name} fail a check: {failed} "
            f"({_names(account.refused, refused)}). Fix the rows or the template, or accept their removal with "
            f"{advice}."
        )
    how = "template.over_length: drop and " if settings.over_length == "error" else ""
    limit, way = _length_limit(settings, longest, paths)
    verb = "is" if long == 1 else "are"
    raise LossError(
        f"template: {long:,} of {counted(came, 'rows')} of {account.name} {verb} longer than {longest:,} tokens, "
        f"{limit} (longest: {max(account.came):,}; {_names(account.long, long)}); {gone:,} of "
        f"{counted(account.answers.came, 'tokens')} of answers would be lost. {way}, shorten the rows, choose another "
        f"template.over_length (now {settings.over_length}), or accept the loss with {how}{advice}."
    )


def _length_limit(settings: Settings, longest: int, paths: Paths) -> tuple[str, str]:
    """What sets the limit `longest`, and the way to a higher one."""
    room = context_length(base_folder(paths))
    if room is not None and longest >= room:
        return "the context of the base", "Extend it with base.rope, choose a base with a longer one"
    bound = f", to {room:,} at most" if room is not None else ""
    if settings.max_length is not None:
        return "template.max_length", f"Raise it{bound}"
    return "model_max_length of its tokenizer", f"Set template.max_length{bound}"


def _such(account: Account, slug: str) -> str:
    return f", such as: {account.findings.details[slug]}" if slug in account.findings.details else ""


def _names(examples: list[str], count: int) -> str:
    return ", ".join(examples) + (f" and {count - len(examples)} more" if count > len(examples) else "")


def _share(part: int, whole: int) -> str:
    """The smallest share with three decimals that is at least part / whole."""
    return f"{-(-part * 1000 // whole) / 1000:g}"
