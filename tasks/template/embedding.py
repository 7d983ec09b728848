"""Rows for an embedding model: each text is tokenised by itself, as sentence-transformers does, and no chat template.

A row of the file is a question, a document and the documents that are wrong, one behind the other; the column `lengths`
says where each ends. A row with several right documents becomes several, which repeat its question.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.core.errors import InputError, ModelError, SettingsError
from tasks.core.files import write_json, write_text, written
from tasks.core.numbers import counted
from tasks.core.paths import PATHS, Paths
from tasks.engine.chosen import Local
from tasks.models.classes import model_config
from tasks.models.embedder import Embedder, check_kind, is_embedder
from tasks.models.record import base_folder
from tasks.rows.pairs import texts
from tasks.template import preview
from tasks.template.arrow import Batch, records
from tasks.template.checks import CHECKS, ERRORS
from tasks.template.encode import Encoder
from tasks.template.offsets import id_array
from tasks.template.outcome import Outcome
from tasks.template.run import LOST, print_audit, split
from tasks.template.sequence import Sequence
from tasks.template.settings import Settings
from tasks.template.tokenizer import embedding_rows, max_length, read

SHAPE = "a row for embeddings has one question, and one answer or a chosen and a rejected one, all of them texts"


class TextTemplater:
    """A tokenizer and settings, for any number of rows."""

    def __init__(self, tokenizer: Any, settings: Settings, embedder: Embedder, vocabulary: int | None) -> None:
        self.tokenizer, self.settings, self.embedder = tokenizer, settings, embedder
        self.encoder, self.limit, self.vocabulary = Encoder(tokenizer), embedder.length, vocabulary

    def outcomes(self, rows: Batch) -> list[Outcome]:
        """What becomes of each row, in their order."""
        return [self.outcome(row) for row in records(rows)]

    def outcome(self, row: dict[str, Any]) -> Outcome:
        """What becomes of a canonical row."""
        outcome, pair = Outcome(row["id"]), texts(row)
        if pair is None or row.get("weight") == 0:
            slug = "unrenderable" if pair is None else "untrained"
            outcome.notes[slug] += 1
            outcome.reason, outcome.detail = slug, SHAPE
            return outcome
        documents = [*pair.positives, *pair.negatives]
        whole = self._ids(pair.anchor, documents, cut=False)
        outcome.notes = self._notes([pair.anchor, *documents], whole, len(pair.positives))
        outcome.notes["weight"] += row.get("weight") not in (None, 1)
        outcome.most = max(map(len, whole))
        outcome.sequences = _rows(whole, len(pair.positives))
        outcome.tokens = outcome.answers = outcome.length
        if outcome.most > self.limit:
            outcome.notes["too_long"] += 1
            if self.settings.over_length == "truncate_answer":
                outcome.sequences = _rows(self._ids(pair.anchor, documents, cut=True), len(pair.positives))
                outcome.cut = "answer"
        outcome.notes = +outcome.notes
        cut = ("too_long",) if outcome.cut else ()
        outcome.reason = next((slug for slug in ERRORS if outcome.notes[slug] and slug not in cut), None)
        return outcome

    def _ids(self, anchor: str, documents: list[str], *, cut: bool) -> list[list[int]]:
        """Token ids of each text, the question first."""
        return [
            *self.embedder.ids(self.tokenizer, [anchor], query=True, cut=cut),
            *self.embedder.ids(self.tokenizer, documents, cut=cut),
        ]

    def _notes(self, row_texts: list[str], ids: list[list[int]], positives: int) -> Counter[str]:
        """What is wrong with texts: words that the tokenizer takes for control tokens, or does not know."""
        flat = [token for text in ids for token in text]
        right = {tuple(text) for text in ids[1 : 1 + positives]}
        return Counter(
            rendered=any(self.encoder.any_control.search(text) for text in row_texts),
            unknown=self.tokenizer.unk_token_id is not None and self.tokenizer.unk_token_id in flat,
            vocabulary=self.vocabulary is not None and max(flat, default=0) >= self.vocabulary,
            equal_pair=any(tuple(text) in right for text in ids[1 + positives :]),
        )


def _rows(ids: list[list[int]], positives: int) -> list[Sequence]:
    """A sequence for each of the first `positives` documents behind the question `ids[0]`."""
    rows = []
    for right in ids[1 : 1 + positives]:
        parts = [ids[0], right, *ids[1 + positives :]]
        tokens = id_array([token for part in parts for token in part])
        rows.append(Sequence(tokens, ((0, len(tokens)),), texts=tuple(map(len, parts))))
    return rows


def embedder_of(base: Path, settings: Settings, length: int) -> Embedder:
    """How the model in `base` makes vectors by `settings`. Raises `SettingsError` and `ModelError` where it cannot."""
    assert settings.embed is not None
    config, asked = model_config(base), settings.embed
    check_kind(config, str(base))
    own = Embedder.of(base) if is_embedder(base) and asked.pooling == "auto" else None
    pooling = own.pooling if own else "mean" if asked.pooling == "auto" else asked.pooling
    if pooling == "cls" and not reads_both_ways(config):
        raise SettingsError(
            f"{PATHS.params}: template.embed.pooling cls takes the vector of the first token, which in a "
            f"{config.model_type} attends to no other token; set it to last or mean."
        )
    return Embedder(pooling, asked.normalize, asked.query, asked.document, length)


def reads_both_ways(config: Any) -> bool:
    """Whether a token of a model with this configuration reads those behind it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS

    return config.model_type in ENCODERS and not getattr(config, "is_decoder", False)


def prepared(base: Path, settings: Settings) -> tuple[Any, Embedder, dict[str, str], str]:
    """The tokenizer of `base` ready to fill up batches, the embedder, what was made right by slug, and what sets the
    longest text."""
    tokenizer, notes = read(base, settings), {}
    longest, source = max_length(tokenizer, base, settings.max_length)
    if longest > tokenizer.model_max_length and reads_both_ways(model_config(base)):
        raise InputError(  # of RoBERTa's positions the first ones stand for no place
            f"template.max_length = {longest}: the tokenizer of the base takes at most "
            f"{tokenizer.model_max_length} tokens; set it to that or less."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise ModelError(f"{base}: the tokenizer has no token to pad batches with; set pad_token in its files.")
        notes["no_pad"] = f"no pad token: temper pads batches with {tokenizer.pad_token}, masked by position"
    tokenizer.padding_side = "right"  # on the left, positions would begin with what fills up
    return tokenizer, embedder_of(base, settings, longest), notes, source


def write_texts(settings: Settings, paths: Paths) -> None:
    """Tokenise both splits and write `data/templated`."""
    base = base_folder(paths)
    tokenizer, embedder, notes, source = prepared(base, settings)
    templater = TextTemplater(tokenizer, settings, embedder, embedding_rows(base, settings))
    shown, out = preview.Preview(tokenizer, settings.preview_rows), paths.templated
    with written(out / "truncated.parquet") as aside, pq.ParquetWriter(aside, LOST) as lost:
        engine = Local()  # the tokenizer has threads of its own
        accounts = [split(name, templater, paths, shown, lost, engine) for name in ("train", "validation")]
    if not accounts[0].trained["rows"]:
        raise InputError(f"{paths.clean / 'train.parquet'}: no rows are left to train on; see {PATHS.ledger}.")
    with written(out / "tokenizer") as folder:
        tokenizer.save_pretrained(folder)
        embedder.save(folder, model_config(base).hidden_size)
    write_text(out / "preview.html", shown.page())
    splits = {audited.name: audited.as_dict() for audited in accounts}
    write_json(paths.counts, {name: audited["trained"] for name, audited in splits.items()})
    write_json(
        out / "audit.json",
        {
            "settings": settings.model_dump(mode="json"),
            "embedder": {"pooling": embedder.pooling, "normalize": embedder.normalize},
            "made_right": notes,
            "max_length": {"tokens": embedder.length, "source": source},
            "tokenizer": {"vocabulary": len(tokenizer), "pad": tokenizer.pad_token},
            "packing": None,
            "splits": splits,
            "checks": {slug: sum(audited.findings.rows[slug] for audited in accounts) for slug in CHECKS},
        },
    )
    print(f"template: the longest text may have {counted(embedder.length, 'tokens')} ({source})")
    print_audit(notes, splits, "tokens of a text")
