"""Sets and keys come back from their files as they were, those that are wanted, in blocks of any size."""

from pathlib import Path

import numpy as np
import pytest

from tasks.clean import signatures
from tasks.clean.signatures import Signatures
from tasks.dedup.minhash import MinHash
from tasks.dedup.near import clusters, clusters_of
from tasks.dedup.store import Signing


@pytest.mark.parametrize(("texts_at_once", "words_at_once"), [(4096, 10**6), (5, 10**6), (7, 9), (1, 1)])
def test_texts_that_are_wanted_have_the_clusters_that_they_have_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts_at_once: int, words_at_once: int
) -> None:
    monkeypatch.setattr(signatures, "_TEXTS", texts_at_once)
    monkeypatch.setattr(signatures, "_WORDS", words_at_once)
    texts = [" ".join(f"w{number * step % 11}" for number in range(size)) for size in range(7) for step in (1, 2, 1)]
    minhash = MinHash.at(0.8, 0)
    with Signatures(tmp_path, 1 + minhash.bands) as kept:
        for start in range(0, len(texts), 4):
            kept.add(Signing(minhash, 1)(texts[start : start + 4]))
    for wanted in (np.ones(len(texts), bool), np.arange(len(texts)) % 3 > 0, np.zeros(len(texts), bool)):
        chosen = [text for text, one in zip(texts, wanted, strict=True) if one]
        first = clusters_of(kept.those(wanted), minhash.bands, 0.8, scratch=tmp_path).tolist()
        assert first == clusters([chosen], 0.8, scratch=tmp_path).tolist()
        assert len(set(first)) < len(first) or not chosen
    kept.remove()
    assert not list(tmp_path.iterdir())
