"""The stage `template`: rows in, token ids and labels out, with an audit that adds up."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contract.errors import InputError, LossError
from tasks.contract.files import write_json, write_text, written
from tasks.contract.ledger import Ledger
from tasks.contract.model import base_folder
from tasks.contract.paths import Paths
from tasks.contract.progress import reporter
from tasks.contract.rows import IGNORED, messages
from tasks.template import checks, preview
from tasks.template.mask import mask, spans
from tasks.template.render import context, render, tokenizer
from tasks.template.settings import Settings

ROWS = pa.schema([("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
LEFT = pa.schema([("id", pa.string()), ("split", pa.string()), ("reason", pa.string()), ("tokens", pa.int64())])
BATCH = 1000
"""Rows in one Arrow record batch."""


@dataclass
class Split:
    """One split's rows and accounts: rows and tokens that came, were trained, masked, or left with a reason."""

    name: str
    rows: Ledger = field(default_factory=Ledger)
    tokens: Ledger = field(default_factory=lambda: Ledger(unit="tokens"))
    lengths: list[int] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        trained = {
            "rows": len(self.lengths),
            "tokens": sum(self.lengths),
            "supervised_tokens": self.tokens.outs["trained"],
        }
        return {
            "rows": self.rows.as_dict(),
            "tokens": self.tokens.as_dict(),
            "trained": trained,
            "lengths": _percentiles(self.lengths),
        }


def write(settings: Settings, paths: Paths) -> None:
    """Template both splits and write `data/templated`."""
    base = base_folder(paths)
    coder = tokenizer(base, settings.chat_template)
    stops = _stops(base, coder)
    limit, source = _limit(settings, base)
    out = paths.templated
    splits = [_split(name, settings, paths, coder, stops, limit) for name in ("train", "validation")]
    if not splits[0].lengths:
        raise InputError(f"{paths.clean / 'train.parquet'}: no row is left to train on; see data/clean/ledger.json.")
    with written(out / "tokenizer") as folder:
        coder.save_pretrained(folder)
    with written(out / "truncated.parquet") as aside:
        pq.write_table(pa.Table.from_pylist([row for split in splits for row in split.left], schema=LEFT), aside)
    write_text(out / "preview.html", preview.page(coder, splits[0].shown))
    audit = {
        "settings": settings.model_dump(mode="json"),
        "chat_template": {
            "source": settings.chat_template or "tokenizer",
            "sha256": hashlib.sha256(coder.chat_template.encode()).hexdigest(),
        },
        "max_length": {"tokens": limit, "source": source},
        "tokenizer": {"vocabulary": len(coder), "eos": coder.eos_token, "pad": coder.pad_token, "bos": coder.bos_token},
        "splits": {split.name: split.as_dict() for split in splits},
        "checks": {slug: sum(split.rows.left[slug] for split in splits) for slug in checks.CHECKS},
    }
    write_json(out / "audit.json", audit)
    for split in splits:
        print(
            f"template: {split.name}: {json.dumps(split.as_dict()['trained'])}, lengths {_percentiles(split.lengths)}"
        )


def _split(name: str, settings: Settings, paths: Paths, coder: Any, stops: set[int], limit: int) -> Split:
    source = paths.clean / f"{name}.parquet"
    if not source.is_file():
        raise InputError(f"{source}: no such file; run the stage clean first.")
    parquet = pq.ParquetFile(source)
    split = Split(name)
    report = reporter(f"template {name}", parquet.metadata.num_rows, "rows")
    with written(paths.templated / f"{name}.arrow") as aside, pa.OSFile(str(aside), "wb") as sink:
        with pa.ipc.new_stream(sink, ROWS) as stream:
            for batch in parquet.iter_batches(BATCH):
                rows = (_row(row, split, coder, stops, limit, settings) for row in batch.to_pylist())
                kept = [row for row in rows if row]
                if kept:
                    stream.write_table(pa.Table.from_pylist(kept, schema=ROWS))
                report(split.rows.came)
        _settle(split, settings, limit)
    return split


def _row(
    row: dict[str, Any], split: Split, coder: Any, stops: set[int], limit: int, settings: Settings
) -> dict[str, Any] | None:
    """The token ids and labels of one row, or None where it leaves; both are accounted for in `split`."""
    turns = messages(row)
    text = render(coder, turns)
    encoded = coder(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    trained = mask(encoded["offset_mapping"], spans(coder, turns, text))
    split.rows.came += 1
    split.tokens.came += len(ids)
    reason = "too_long" if len(ids) > limit else checks.failed(coder, turns, text, ids, trained, stops)
    if reason:
        split.rows.left[reason] += 1
        split.tokens.left[reason] += len(ids)
        split.left.append({"id": row["id"], "split": split.name, "reason": reason, "tokens": len(ids)})
        return None
    split.rows.outs[split.name] += 1
    split.tokens.outs["trained"] += sum(trained)
    split.tokens.outs["masked"] += len(ids) - sum(trained)
    split.lengths.append(len(ids))
    if len(split.shown) < settings.preview_rows:
        split.shown.append((row["id"], ids, trained))
    labels = [token if inside else IGNORED for token, inside in zip(ids, trained, strict=True)]
    return {"id": row["id"], "input_ids": ids, "labels": labels}


def _settle(split: Split, settings: Settings, limit: int) -> None:
    """Stop where the accounts do not add up, or more left than the settings allow, naming the rows."""
    split.rows.check("template")
    split.tokens.check("template")
    by_check = [row for row in split.left if row["reason"] != "too_long"]
    long = [row for row in split.left if row["reason"] == "too_long"]
    allowed = settings.max_loss * split.rows.came
    if long and (settings.over_length == "error" or len(split.left) > allowed):
        longest = max(row["tokens"] for row in long)
        raise LossError(
            f"template: {len(long)} of {split.rows.came} rows of {split.name} are longer than {limit} tokens (longest: "
            f"{longest}; {_names(long)}). Raise template.max_length where the base allows it, shorten the rows, or let "
            f"them leave with template.over_length: drop and template.max_loss: "
            f"{_share(len(split.left), split.rows.came)}."
        )
    if len(split.left) > allowed:
        reasons = {row["reason"] for row in by_check}
        told = "; ".join(f"{slug}: {checks.CHECKS[slug]} ({split.rows.left[slug]} rows)" for slug in sorted(reasons))
        raise LossError(
            f"template: {len(by_check)} of {split.rows.came} rows of {split.name} fail a check: {told} "
            f"({_names(by_check)}). Mend the rows or the template, or let them leave with template.max_loss: "
            f"{_share(len(split.left), split.rows.came)}."
        )


def _names(rows: list[dict[str, Any]]) -> str:
    shown = ", ".join(f"{row['id']} with {row['tokens']}" for row in rows[:5])
    return shown + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


def _share(part: int, whole: int) -> str:
    """The smallest share with three decimals that is at least part / whole."""
    return f"{-(-part * 1000 // whole) / 1000:g}"


def _limit(settings: Settings, base: Path) -> tuple[int, str]:
    """The longest row in tokens, and where the number comes from."""
    longest = context(base)
    if settings.max_length is not None:
        if longest is not None and settings.max_length > longest:
            raise LossError(f"template.max_length = {settings.max_length}: the base takes {longest} tokens at most.")
        return settings.max_length, "template.max_length"
    if longest is None:
        raise InputError("template.max_length: the base does not say how long a row may be; set it, in tokens.")
    return longest, "context of the base"


def _stops(base: Path, coder: Any) -> set[int]:
    """Ids at which generation stops: the tokenizer's end token, and those of the base's generation_config."""
    stops = {coder.eos_token_id}
    file = base / "generation_config.json"
    if file.is_file():
        told = json.loads(file.read_text()).get("eos_token_id")
        stops.update(told if isinstance(told, list) else [] if told is None else [told])
    return stops


def _percentiles(lengths: list[int]) -> dict[str, int]:
    """Row lengths in tokens: the middle, the upper tail, the longest (nearest rank)."""
    ordered = sorted(lengths)
    if not ordered:
        return {}
    ranks = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    return {name: ordered[max(0, -(-rank * len(ordered) // 100) - 1)] for name, rank in ranks.items()}
