"""Near-duplicates at scale: against every pair compared one by one, in every kind of text, and the same each time."""

import json
import os
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.dedup import link, memmap
from tasks.dedup.bags import Bags, Hasher
from tasks.dedup.link import Buckets, UnionFind, similarity
from tasks.dedup.minhash import FUNCTIONS, MISSED, MinHash, banding
from tasks.dedup.near import clusters
from tasks.dedup.similarity import jaccard, words

ROOT = Path(__file__).parents[3]


def firsts(texts: list[str], scratch: Path, threshold: float = 0.8, **settings: Any) -> list[int]:
    result: list[int] = clusters([texts], threshold, scratch=scratch, **settings).tolist()
    return result


def edited(count: int, seed: int, length: int = 40) -> list[list[str]]:
    """Families of a text and what edits of its words made of it, in all degrees of likeness."""
    source = random.Random(seed)
    vocabulary = [f"w{int(5000 * source.random() ** 3)}" for _ in range(20_000)]
    families = []
    for _ in range(count):
        first = source.choices(vocabulary, k=source.randint(length // 2, length))
        family = [first]
        for _ in range(source.choice((0, 0, 1, 3))):
            copy = list(first)
            for index in source.sample(range(len(copy)), source.randint(0, len(copy) // 5)):
                copy[index] = source.choice(vocabulary)
            family.append(copy)
        families.append([" ".join(text) for text in family])
    return families


def test_nearly_every_pair_that_is_alike_is_found_and_no_other(tmp_path: Path) -> None:
    families = edited(3000, seed=1)
    texts = [text for family in families for text in family]
    order = random.Random(1).sample(range(len(texts)), len(texts))
    first = firsts([texts[index] for index in order], tmp_path)
    place_of = {index: number for number, index in enumerate(order)}
    alike, joined, linked = 0, 0, set()
    begin = 0
    for family in families:
        for one, two in combinations(range(begin, begin + len(family)), 2):
            if jaccard(words(texts[one]), words(texts[two])) >= 0.8:
                alike += 1
                joined += first[place_of[one]] == first[place_of[two]]
                linked |= {place_of[one], place_of[two]}
        begin += len(family)
    assert alike > 1000
    assert joined / alike > 0.98
    assert {number for number, one in enumerate(first) if one != number} <= linked


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_clusters_are_what_pairs_above_the_threshold_connect(tmp_path: Path, threshold: float) -> None:
    texts = [text for family in edited(60, seed=2, length=12) for text in family]
    expected = list(range(len(texts)))
    for _ in texts:
        for one, two in combinations(range(len(texts)), 2):
            if jaccard(words(texts[one]), words(texts[two])) >= threshold:
                expected[one] = expected[two] = min(expected[one], expected[two])
        if expected == [expected[one] for one in expected]:
            break
    got = firsts(texts, tmp_path, threshold)
    assert all(one <= number for number, one in enumerate(got))
    together = {(a, b) for a, b in combinations(range(len(texts)), 2) if expected[a] == expected[b]}
    assert together
    proposed = {(a, b) for a, b in combinations(range(len(texts)), 2) if got[a] == got[b]}
    assert proposed <= together
    assert len(proposed) >= 0.95 * len(together)


def test_words_count_as_the_contract_says(tmp_path: Path) -> None:
    odd = "The\u00a0quick\x1cbrown \u2018fox\u2019, JUMPS\u2028over (the) \u1680lazy dog \u2026 \u0130st \u03a3\u03a3"
    bags = Hasher().bags([odd, "", " ... !? ", "a a a"])
    assert bags.sizes.tolist() == [len(set(words(odd))), 0, 0, 1]
    texts = ["", "!?", "Stop it.", "it stop", "\u2026", "stop it now", "", "\N{WHALE}", "\N{WHALE}"]
    assert firsts(texts, tmp_path) == [0, 1, 2, 2, 4, 5, 6, 7, 7]
    assert firsts([], tmp_path) == []
    assert firsts(["", "?"], tmp_path) == [0, 1]


def test_runs_of_words_see_order_and_short_texts_are_one_run(tmp_path: Path) -> None:
    texts = ["a b c d e f g h", "h g f e d c b a", "a b c d e f g h i", "a b", "a b", "b a", "a", "a b c"]
    assert firsts(texts, tmp_path, shingle=1) == [0, 0, 0, 3, 3, 3, 6, 7]
    assert firsts(texts, tmp_path, shingle=3) == [0, 1, 0, 3, 3, 5, 6, 7]
    source = random.Random(0)
    many = [" ".join(source.choices("abc", k=source.randint(0, 9))) for _ in range(200)]
    for length in (2, 3, 5):
        sizes = Hasher(length).bags(many).sizes.tolist()
        for text, size in zip(many, sizes, strict=True):
            parts = words(text)
            runs = {tuple(parts[at : at + length]) for at in range(max(1, len(parts) - length + 1))} if parts else set()
            assert size == len(runs)


def test_similarity_of_pairs_is_exact() -> None:
    texts = [text for family in edited(40, seed=3) for text in family]
    one, two = (list(side) for side in zip(*combinations(texts, 2), strict=True))
    expected = [jaccard(words(a), words(b)) for a, b in zip(one, two, strict=True)]
    assert similarity(Hasher().bags(one), Hasher().bags(two)).tolist() == expected


def test_bands_miss_no_more_than_they_may() -> None:
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        bands, rows = banding(threshold)
        assert bands * rows <= FUNCTIONS
        assert (1 - threshold**rows) ** bands <= MISSED
    assert banding(0.8) == (20, 8)
    assert banding(1.0)[0] == 1


def test_minhash_agrees_as_often_as_sets_are_alike() -> None:
    source = np.random.default_rng(0)
    minhash = MinHash.at(0.8, seed=5)
    agree = 0
    for _ in range(150):
        drawn = source.integers(0, 2**32, 110, dtype=np.uint32)
        both = np.concatenate([np.sort(drawn[:100]), np.sort(drawn[10:])])  # 90 of 110 shared: 0.82
        keys = minhash.keys(both, np.array([0, 100]))
        assert keys[0, 0] != keys[0, 1]
        agree += int((keys[1:, 0] == keys[1:, 1]).sum())
    assert agree / (150 * minhash.bands) == pytest.approx((90 / 110) ** minhash.rows, abs=0.03)


def test_batches_threads_and_hash_seed_change_nothing_and_nothing_stays(tmp_path: Path) -> None:
    texts = [text for family in edited(300, seed=4) for text in family]
    whole = firsts(texts, tmp_path, threads=1)
    single = clusters(([text] for text in texts), 0.8, scratch=tmp_path, threads=3)
    assert single.tolist() == whole
    assert list(tmp_path.iterdir()) == []
    seen: list[int] = []
    clusters([texts[:100], [], texts[100:]], 0.8, scratch=tmp_path, report=seen.append)
    assert seen[-1] == len(texts)
    code = (
        "import sys, json, pathlib; from tasks.dedup.near import clusters; texts = json.load(sys.stdin);"
        "print(clusters([texts], 0.8, scratch=pathlib.Path(sys.argv[1])).tolist())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            input=json.dumps(texts),
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == whole


def test_large_clusters_and_moulds_take_comparisons_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    def counted(one: Bags, two: Bags) -> Any:
        nonlocal compared
        compared += len(one.sizes)
        return similarity(one, two)

    monkeypatch.setattr(link, "similarity", counted)
    copies = ["the very same text once again"] * 30_000
    near = [f"your order {number} has left our house today and will be with you soon" for number in range(30_000)]
    assert set(firsts([*copies, *near], tmp_path)) == {0, 30_000}
    assert compared < 2 * 60_000
    source = random.Random(0)
    mould = words("Please write me a short and friendly poem about the thing that I call here.")
    fillings = [source.sample(range(3000), 6) for _ in range(2000)]
    texts = [" ".join([*mould, *map(str, filling)]) for filling in fillings]
    texts += [" ".join([*mould, *map(str, filling[1:]), "other"]) for filling in fillings]
    compared = 0
    assert firsts(texts, tmp_path) == list(range(2000)) * 2
    assert compared < 100 * len(texts)  # of 8 million pairs


def test_a_bucket_too_large_to_compare_all_is_marked() -> None:
    keys = np.array([7 << 40] * 40 + [9 << 40] * 2 + [5 << 40], np.uint64)
    buckets = Buckets(keys, np.arange(43))
    assert buckets.rows[buckets.crowd()].tolist() == list(range(40))
    groups = UnionFind(np.empty(43, np.int64))
    groups.union(np.arange(39), np.arange(1, 40))
    assert groups.find(np.arange(43)).tolist() == [0] * 40 + [40, 41, 42]
    assert buckets.rows[buckets.mixed(groups)].tolist() == [40, 41]
    pairs = [len(one) for one, _ in buckets.neighbours(16, buckets.crowd())]
    assert pairs == [39 + 1]


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for threshold in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold must be"):
            firsts(["a"], tmp_path, threshold)
    with pytest.raises(ValueError, match="shingle must be"):
        firsts(["a"], tmp_path, shingle=0)


def test_texts_of_many_blocks_give_the_same_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for family in edited(300, seed=6) for text in family]
    texts += ["", "the very same text once again", ""] * 50
    whole = firsts(texts, tmp_path)
    assert len(set(whole)) < len(whole) - 200
    monkeypatch.setattr(memmap, "BLOCK", 64)
    assert firsts(texts, tmp_path) == whole
    assert list(tmp_path.iterdir()) == []
