"""A candidate that is an embedding model: where each held-out question finds its documents among all of the test split.

Nothing is generated. Documents are those of all held-out rows, the wrong ones that rows name included, each once.

Shapes: `B` texts of a batch, `T` tokens of the longest, `D` numbers of a vector, `Q` questions, `N` documents.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import InputError, SettingsError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.evaluate.batches import batches
from tasks.evaluate.engine import Answer
from tasks.evaluate.questions import Question, rows
from tasks.evaluate.settings import Settings
from tasks.models.embedder import Embedder
from tasks.models.head import filled
from tasks.models.loading import load_tokenizer
from tasks.rows.pairs import Texts, texts

Row = dict[str, Any]

DEEP = 10
"""Documents of a ranking that count."""

AT_ONCE = 2**24
"""Similarities that are held at one time."""


@dataclass(frozen=True)
class Corpus:
    """What is searched: documents, and by question those that answer it."""

    documents: list[str]
    right: dict[str, set[int]]

    @classmethod
    def of(cls, rows: list[Row], file: Path) -> "Corpus":
        """Of held-out rows. Raises `InputError` for a row that is no question with an answer."""
        places: dict[str, int] = {}
        right: dict[str, set[int]] = defaultdict(set)
        for row in rows:
            pair = pair_of(row, file)
            for document in (*pair.positives, *pair.negatives):
                places.setdefault(document, len(places))
            right[pair.anchor].update(places[document] for document in pair.positives)
        return cls(list(places), right)


def ranking_scores(ranks: list[int], relevant: int) -> dict[str, float]:
    """Scores of a question by the `ranks` (1 is first) of the documents that answer it, of which there are `relevant`.

    nDCG with gains of 0 and 1 (Järvelin and Kekäläinen 2002), the reciprocal rank of the first, and the share found.

    >>> ranking_scores([2, 11], 2)["mrr_at_10"], ranking_scores([2, 11], 2)["recall_at_5"]
    (0.5, 0.5)
    """
    gains = [1 / log2(rank + 1) for rank in ranks if rank <= DEEP]
    ideal = sum(1 / log2(place + 2) for place in range(min(relevant, DEEP)))
    first = min(ranks, default=DEEP + 1)
    return {
        "ndcg_at_10": sum(gains) / ideal,
        "mrr_at_10": 1 / first if first <= DEEP else 0.0,
        **{f"recall_at_{most}": sum(rank <= most for rank in ranks) / relevant for most in (1, 5, 10)},
    }


class RankingEngine:
    """An embedding model on its device, with its tokenizer and the limits of a batch."""

    def __init__(self, model: Any, folder: Path, settings: Settings, candidate: str) -> None:
        self.model, self.settings, self.candidate = model, settings, candidate
        self.embedder, self.tokenizer = Embedder.of(folder), load_tokenizer(folder)
        self.pad = self.tokenizer.pad_token_id or 0

    def questions(self, held_out: list[Row], pairs: list[Texts]) -> list[Question]:
        """Each row as a question, with what stands before it; cut to the longest text. `pairs`: the rows' texts."""
        ids = self._ids([pair.anchor for pair in pairs], query=True)
        before = self.embedder.query
        return [
            Question(row["id"], before + pair.anchor, pair.positives[0], tuple(tokens), 0)
            for row, pair, tokens in zip(held_out, pairs, ids, strict=True)
        ]

    def ranked(self, pairs: list[Texts], questions: list[Question], corpus: Corpus) -> list[Row]:
        """By row its scores, and under `text` the document that is ranked first."""
        vectors = self._vectors([list(question.ids) for question in questions], "questions")  # (Q, D)
        documents = self._vectors(self._ids(corpus.documents, query=False), "documents")  # (N, D)
        right = [corpus.right[pair.anchor] for pair in pairs]
        results = []
        for part, rights in _parts(vectors, right, len(documents)):
            scores = part @ documents.T
            order = scores.argsort(dim=-1, descending=True, stable=True)
            places = torch.empty_like(order)
            places.scatter_(1, order, torch.arange(len(documents)).expand_as(order))
            for ranking, place, wanted in zip(order, places, rights, strict=True):
                ranks = sorted(int(place[document]) + 1 for document in wanted)
                results.append({"text": corpus.documents[int(ranking[0])], **ranking_scores(ranks, len(wanted))})
        return results

    def _ids(self, texts: list[str], *, query: bool) -> list[list[int]]:
        ids = self.embedder.ids(self.tokenizer, texts, query=query, cut=False)
        cut = [place for place, tokens in enumerate(ids) if len(tokens) > self.embedder.length]
        if cut:
            what = "questions" if query else "documents"
            print(
                f"evaluate {self.candidate}: {counted(len(cut), what)} have more than {self.embedder.length} tokens, "
                "and are truncated, as sentence-transformers does",
                flush=True,
            )
            shorter = self.embedder.ids(self.tokenizer, [texts[place] for place in cut], query=query)
            for place, tokens in zip(cut, shorter, strict=True):
                ids[place] = tokens
        return ids

    @torch.inference_mode()
    def _vectors(self, rows: list[list[int]], what: str) -> torch.Tensor:
        """Vectors of length 1, in float32 on the CPU, in the order of `rows`: their products are cosines."""
        report = reporter(f"evaluate {self.candidate}", len(rows), what)
        parts = batches([len(ids) for ids in rows], self.settings.batch_size, self.settings.batch_tokens)
        vectors: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        done = 0
        for part in parts:
            ids, mask = (one.to(self.model.device) for one in filled([rows[index] for index in part], self.pad))
            directions = torch.nn.functional.normalize(self.embedder.vectors(self.model, ids, mask), dim=-1).cpu()
            for index, vector in zip(part, directions, strict=True):
                vectors[index] = vector
            done += len(part)
            report(done)
        return torch.stack(vectors)


def check(candidate: str, settings: Settings) -> None:
    """Raise `SettingsError` where metrics or benchmarks ask of an embedding model what it cannot say."""
    if other := [metric.column for metric in settings.metrics if metric.asks != "rank"]:
        raise SettingsError(
            f"{PATHS.params}: evaluate.metrics: {other[0]} scores generated text, but {candidate} is an "
            "embedding model; use the metric retrieval alone."
        )
    if settings.benchmarks and candidate in settings.benchmarked:
        raise SettingsError(
            f"{PATHS.params}: evaluate.benchmarks needs a model that generates text, but {candidate} is an embedding "
            "model; remove it from evaluate.benchmarked."
        )


def load_embedder(folders: list[Path]) -> Any:
    """The model in the candidate's `folders`: a base, perhaps with an adapter, or a model of its own."""
    device = "cuda" if torch.cuda.is_available() else None
    first, *more, described = folders
    model = Embedder.of(described).load(first, device_map=device, dtype="auto").eval()
    if more:
        from tasks.merge.whole import with_adapter

        model = with_adapter(model, more[0])
    return model


def as_answers(ranked: list[Row]) -> list[Answer]:
    """The document that each question finds first, as an answer without tokens."""
    return [Answer(str(one["text"]), 0, "chosen") for one in ranked]


def held_out_corpus(paths: Paths) -> Corpus:
    """The corpus of the whole test split, however few of its questions are asked."""
    return Corpus.of(rows(paths.rows("test"))[0], paths.rows("test"))


def pair_of(row: Row, file: Path) -> Texts:
    """The texts of a held-out row. Raises `InputError` for a row that is no question with an answer."""
    pair = texts({**row, "messages": row["messages"] if not row.get("chosen") else None})
    if pair is None:
        raise InputError(
            f"{file}: the row {row['id']} is not one question with a text as its answer, which the metric retrieval "
            "needs; remove it from the test split."
        )
    return pair


def _parts(vectors: torch.Tensor, right: list[set[int]], documents: int) -> Any:
    """Questions in parts, so that as many similarities as are held at one time fit."""
    size = max(1, AT_ONCE // max(documents, 1))
    return zip(torch.split(vectors, size), [right[at : at + size] for at in range(0, len(right), size)], strict=True)
